/** Ops on rows of logits: tokenLogprobs, and the argmax that greedy sampling takes. */
import type { Tensor } from '../../../tensor/tensor.ts';
import { checkIndices } from '../../check-indices.ts';
import type { TokenLogprobsArgs } from '../../ops.ts';
import { ARGMAX, ARGMAX_PARTS } from '../kernels/argmax.ts';
import { SOFTMAX_PARTS, TOKEN_LOGPROBS } from '../kernels/token-logprobs.ts';
import type { OpTarget } from './op-target.ts';
import { rowParts } from './row-parts.ts';

export function tokenLogprobs(target: OpTarget, { logits, tokenIds, out }: TokenLogprobsArgs): void {
  const [numRows, vocabSize] = logits.shape as [number, number];
  checkIndices('tokenLogprobs tokenIds', target.ints(tokenIds), vocabSize);
  const { numParts, partWidth } = rowParts(vocabSize);
  const logitsView = target.view(logits, [numRows, vocabSize]);
  const parts = target.scratch('parts', [numRows, numParts, 2]);
  target.run(SOFTMAX_PARTS, {
    inputs: { logits: logitsView, width: vocabSize, partWidth },
    out: { ...parts, dims: [numRows, numParts] },
    threads: [numParts, numRows],
  });
  target.run(TOKEN_LOGPROBS, {
    inputs: { logits: logitsView, tokenIds: target.view(tokenIds, [numRows]), parts, numParts },
    out: target.view(out, [numRows]),
    threads: [numRows],
  });
}

/** out[r] = the token with the largest logit of row r, the lowest of equals; not an op of the contract.
 * Shapes  logits [R, V] f32 with V from 1; out [R] f32 */
export function argmax(target: OpTarget, { logits, out }: { readonly logits: Tensor; readonly out: Tensor }): void {
  const [numRows, vocabSize] = logits.shape as [number, number];
  const { numParts, partWidth } = rowParts(vocabSize);
  const parts = target.scratch('parts', [numRows, numParts, 2]);
  target.run(ARGMAX_PARTS, {
    inputs: { logits: target.view(logits, [numRows, vocabSize]), width: vocabSize, partWidth },
    out: { ...parts, dims: [numRows, numParts] },
    threads: [numParts, numRows],
  });
  target.run(ARGMAX, {
    inputs: { parts, numParts },
    out: target.view(out, [numRows]),
    threads: [numRows],
  });
}
