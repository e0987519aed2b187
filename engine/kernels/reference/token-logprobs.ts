/** The log-probability of one token per row of logits: all that scoring a text needs of them. */
import { checkIndices } from '../check-indices.ts';
import type { TokenLogprobsArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { floatsOf, intsOf } from './host-memory.ts';

/** A part is a range of rows. Numerics: the row's maximum is subtracted first, so no exponent is above 0; summed in f64
 * from the first token to the last; one rounding at the end. A row with a NaN gives NaN.
 * @throws InvalidArgumentError for a token outside the vocabulary. */
export function tokenLogprobs(args: TokenLogprobsArgs, part: Part = WHOLE): void {
  const [numRows, vocabSize] = args.logits.shape as [number, number];
  const logits = floatsOf(args.logits);
  const tokenIds = intsOf(args.tokenIds);
  const out = floatsOf(args.out);
  checkIndices('tokenLogprobs tokenIds', tokenIds, vocabSize);

  const end = partEnd(numRows, part);
  for (let r = partStart(numRows, part); r < end; r++) {
    const row = logits.subarray(r * vocabSize, (r + 1) * vocabSize);
    let max = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < vocabSize; i++) max = Math.max(max, row[i]!);
    let sum = 0;
    for (let i = 0; i < vocabSize; i++) sum += Math.exp(row[i]! - max);
    out[r] = row[tokenIds[r]!]! - max - Math.log(sum);
  }
}
