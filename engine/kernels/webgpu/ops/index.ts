/** Every op as what turns a checked call into dispatches. */
import type { OpArgs, OpName } from '../../ops.ts';
import type { OpContext } from '../op-context.ts';
import { copyBlocks } from './copy-blocks.ts';
import { add, geluMul, siluMul } from './elementwise.ts';
import { gatedMatmul, matmul } from './matmul.ts';
import { layerNorm, rmsNorm } from './norms.ts';
import { pagedAttention } from './paged-attention.ts';
import { rope } from './rope.ts';
import { embed, gatherRows } from './row-copies.ts';
import { softmaxSums } from './softmax-sums.ts';
import { tokenLogprobs } from './token-logprobs.ts';
import { topLogits } from './top-logits.ts';
import { writeKv } from './write-kv.ts';

type GpuOps = { readonly [Name in OpName]?: (context: OpContext, args: OpArgs[Name]) => void };

/** @throws InvalidArgumentError for an index out of range, UnsupportedError for a weight that was not loaded as one */
export const GPU_OPS: GpuOps = {
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
