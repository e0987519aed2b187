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
import type { NativeOp, PreparedOp } from './native-op.ts';
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

/** The native op, where kernels run it on these arguments rather than the reference. */
export function nativeOp<Name extends OpName>(op: Name, args: OpArgs[Name]): NativeOp<Name> | undefined {
  const native = NATIVE_OPS[op] as NativeOp<Name> | undefined;
  return native?.takes(args) ? native : undefined;
}

/** Chooses who runs an op whose arguments have been checked. */
export function prepareOp<Name extends OpName>(machine: Machine, op: Name, args: OpArgs[Name]): PreparedOp {
  const native = nativeOp(op, args);
  if (native !== undefined) {
    return 'prepare' in native ? native.prepare(machine, args) : (share) => native.run(machine, args, share);
  }
  return (share) => REFERENCE_OPS[op](onHost(machine, args), share.part);
}

/** The same arguments as tensors of host memory: the reference's view of the same bytes. */
function onHost<Args extends object>({ memory }: Machine, args: Args): Args {
  const translate = (value: unknown) => (value instanceof Tensor ? hostTensor(memory, value) : value);
  return Object.fromEntries(Object.entries(args).map(([name, value]) => [name, translate(value)])) as Args;
}
