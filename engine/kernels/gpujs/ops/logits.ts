/** Ops on rows of logits: tokenLogprobs, and topLogits, which sampling takes. */
import { checkIndices } from '../../check-indices.ts';
import type { TokenLogprobsArgs, TopLogitsArgs } from '../../ops.ts';
import { SOFTMAX_PARTS, TOKEN_LOGPROBS } from '../kernels/token-logprobs.ts';
import { BEST_OF_PART, BEST_OF_PARTS } from '../kernels/top-logits.ts';
import { checkInts, type OpTarget } from './op-target.ts';
import { rowParts } from './row-parts.ts';

export function tokenLogprobs(target: OpTarget, { logits, tokenIds, out }: TokenLogprobsArgs): void {
  const [numRows, vocabSize] = logits.shape as [number, number];
  checkInts(target, tokenIds, (ints) => checkIndices('tokenLogprobs tokenIds', ints, vocabSize));
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

export function topLogits(target: OpTarget, { logits, out }: TopLogitsArgs): void {
  const [numRows, vocabSize] = logits.shape as [number, number];
  const [, numTop] = out.shape as [number, number, number];
  const { numParts, partWidth } = rowParts(vocabSize);
  const logitsView = target.view(logits, [numRows, vocabSize]);
  const found = target.view(out, [numRows, 2 * numTop]);
  const parts = target.scratch('parts', [numRows, numParts, 2]);
  for (let place = 0; place < numTop; place++) {
    target.run(BEST_OF_PART, {
      inputs: { logits: logitsView, found, place, width: vocabSize, partWidth },
      out: { ...parts, dims: [numRows, numParts] },
      threads: [numParts, numRows],
    });
    target.run(BEST_OF_PARTS, { inputs: { parts, numParts, place }, out: found, threads: [1, numRows] });
  }
}
