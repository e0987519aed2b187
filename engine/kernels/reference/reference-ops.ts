/** Every reference op by name. Each takes its arguments over host memory and the part of the work to do: called once
 * with the whole, or by several threads with one part each and a barrier after every op.
 *
 * An op checks all its integer inputs before it writes anything, whatever its part: given the same inputs, either all
 * parts throw or none does, so no thread waits at a barrier for one that failed. */
import type { OpArgs, OpName } from '../ops.ts';
import type { Part } from '../part.ts';
import { add } from './add.ts';
import { copyBlocks } from './copy-blocks.ts';
import { embed } from './embed.ts';
import { gatedMatmul } from './gated-matmul.ts';
import { gatherRows } from './gather-rows.ts';
import { geluMul } from './gelu-mul.ts';
import { layerNorm } from './layer-norm.ts';
import { matmul } from './matmul.ts';
import { pagedAttention } from './paged-attention.ts';
import { rmsNorm } from './rms-norm.ts';
import { rope } from './rope.ts';
import { siluMul } from './silu-mul.ts';
import { softmaxSums } from './softmax-sums.ts';
import { tokenLogprobs } from './token-logprobs.ts';
import { topLogits } from './top-logits.ts';
import { writeKv } from './write-kv.ts';

export type ReferenceOps = { readonly [Name in OpName]: (args: OpArgs[Name], part?: Part) => void };

export const REFERENCE_OPS: ReferenceOps = {
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
