/** Every op of the wasm backend: the native one where it takes the arguments, otherwise the reference's over the same
 * memory. */
import { Tensor } from '../../../tensor/tensor.ts';
import type { OpArgs, OpName } from '../../ops.ts';
import { REFERENCE_OPS } from '../../reference/reference-ops.ts';
import type { Machine } from '../machine.ts';
import { copyBlocks, gatherRows } from './copies.ts';
import { add, geluMul, siluMul } from './elementwise.ts';
import { embed } from './embed.ts';
import { hostTensor } from './host-tensor.ts';
import { gatedMatmul, matmul } from './matmul.ts';
import type { NativeOp, Share } from './native-op.ts';
import { layerNorm, rmsNorm } from './norms.ts';
import { pagedAttention } from './paged-attention.ts';

import { rope } from './rope.ts';
import { softmaxSums } from './softmax-sums.ts';
import { tokenLogprobs } from './token-logprobs.ts';
import { topLogits } from './top-logits.ts';
import { writeKv } from './write-kv.ts';

const NATIVE_OPS: { readonly [Name in OpName]?: NativeOp<Name> } = {
  embed,
  rmsNorm,
  layerNorm,
  matmul,
  gatedMatmul,
  rope,
  writeKv,
  pagedAttention,
  siluMul,
  geluMul,
  add,
  gatherRows,
  copyBlocks,
  tokenLogprobs,
  topLogits,
  softmaxSums,
};

export const OP_NAMES = Object.keys(REFERENCE_OPS) as readonly OpName[];

/** Whether kernels run the op on these arguments, rather than the reference. */
export function isNative<Name extends OpName>(op: Name, args: OpArgs[Name]): boolean {
  return (NATIVE_OPS[op] as NativeOp<Name> | undefined)?.takes(args) ?? false;
}

/** Runs a part of an op whose arguments have been checked. */
export function runOp<Name extends OpName>(machine: Machine, op: Name, args: OpArgs[Name], share: Share): void {
  const native = NATIVE_OPS[op] as NativeOp<Name> | undefined;
  if (native?.takes(args)) native.run(machine, args, share);
  else REFERENCE_OPS[op](onHost(machine, args), share.part);
}

/** The same arguments as tensors of host memory: the reference's view of the same bytes. */
function onHost<Args extends object>({ memory }: Machine, args: Args): Args {
  const translate = (value: unknown) => (value instanceof Tensor ? hostTensor(memory, value) : value);
  return Object.fromEntries(Object.entries(args).map(([name, value]) => [name, translate(value)])) as Args;
}
