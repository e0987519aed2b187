/** Root-mean-square norm: scales each row to a root mean square of 1, then each feature by its weight.
 * Unlike layer norm it does not move the mean (Zhang & Sennrich 2019, eq. 4). */
import type { RmsNormArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { floatsOf, vectorOf } from './host-memory.ts';

/** A part is a range of rows. Numerics: squares summed in f64 from the first feature to the last, one rounding per
 * output element. */
export function rmsNorm(args: RmsNormArgs, part: Part = WHOLE): void {
  const [numTokens, hiddenSize] = args.x.shape as [number, number];
  const x = floatsOf(args.x);
  const out = floatsOf(args.out);
  const weight = args.weight === undefined ? undefined : vectorOf(args.weight);

  const end = partEnd(numTokens, part);
  for (let t = partStart(numTokens, part); t < end; t++) {
    const row = t * hiddenSize;
    let sumOfSquares = 0;
    for (let i = 0; i < hiddenSize; i++) sumOfSquares += x[row + i]! * x[row + i]!;
    const scale = 1 / Math.sqrt(sumOfSquares / hiddenSize + args.eps);
    for (let i = 0; i < hiddenSize; i++) {
      out[row + i] = x[row + i]! * scale * (weight === undefined ? 1 : weight[i]!);
    }
  }
}
