/** Every op by name, as launches on an `OpTarget`. Arguments have passed `checkArgs`. */
import { UnsupportedError } from '../../../errors.ts';
import type { OpArgs, OpName } from '../../ops.ts';
import { add, geluMul, siluMul } from './elementwise.ts';
import { checkCache, copyBlocks, writeKv } from './kv-cache.ts';
import { tokenLogprobs, topLogits } from './logits.ts';
import { gatedMatmul, matmul } from './matmul.ts';
import { layerNorm, rmsNorm } from './norms.ts';
import type { OpTarget } from './op-target.ts';
import { pagedAttention } from './paged-attention.ts';
import { rope } from './rope.ts';
import { embed, gatherRows } from './rows.ts';

type GpujsOps = { readonly [Name in OpName]?: (target: OpTarget, args: OpArgs[Name]) => void };

const OPS: GpujsOps = {
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
};

/** Runs an op.
 * @throws InvalidArgumentError for an index that leads nowhere, UnsupportedError beyond what kernels count */
export function runOp<Name extends OpName>(target: OpTarget, op: Name, args: OpArgs[Name]): void {
  checkSupport(op, args);
  OPS[op]!(target, args);
}

/** What these kernels lack of the contract.
 * @throws UnsupportedError */
export function checkSupport<Name extends OpName>(op: Name, args: OpArgs[Name]): void {
  if (OPS[op] === undefined) throw new UnsupportedError(`${op} on gpujs`, 'it has no kernel for this op');
  if (!('keyCache' in args)) return;
  checkCache(op, args.keyCache);
  checkCache(op, args.valueCache);
}
