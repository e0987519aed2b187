/** Sums of a softmax's denominator, segment by segment: with them a drawn token is found without a pass over all. */
import { checkIndices } from '../check-indices.ts';
import type { SoftmaxSumsArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { floatsOf, intsOf } from './host-memory.ts';

/** A part is a range of segments, over all queries. Numerics: each segment is summed in f64 from its first token to its
 * last; the sum is put out as the f32 next to it and the f32 next to what that lacks.
 * @throws InvalidArgumentError for a row that there is not. */
export function softmaxSums(args: SoftmaxSumsArgs, part: Part = WHOLE): void {
  const { temperatures, segmentSize } = args;
  const [numRows, vocabSize] = args.logits.shape as [number, number];
  const [numQueries, numSegments] = args.out.shape as [number, number];
  const logits = floatsOf(args.logits);
  const rows = intsOf(args.rows);
  const out = floatsOf(args.out);
  checkIndices('softmaxSums rows', rows, numRows);

  const end = partEnd(numQueries * numSegments, part);
  for (let unit = partStart(numQueries * numSegments, part); unit < end; unit++) {
    const query = Math.floor(unit / numSegments);
    const start = rows[query]! * vocabSize;
    const first = start + (unit % numSegments) * segmentSize;
    const segment = logits.subarray(first, Math.min(first + segmentSize, start + vocabSize));
    const max = segment.reduce((highest, logit) => (logit > highest ? logit : highest), Number.NEGATIVE_INFINITY);
    const sum = Number.isFinite(max) ? sumOfExponentials(segment, max, temperatures[query]!) : 0;
    const high = Math.fround(sum);
    out.set([max, high, sum - high], 3 * unit);
  }
}

function sumOfExponentials(segment: Float32Array, max: number, temperature: number): number {
  let sum = 0;
  for (const logit of segment) {
    if (!Number.isNaN(logit)) sum += Math.exp((logit - max) / temperature);
  }
  return sum;
}
