/** Layer norm: shifts each row to mean 0 and scales it to variance 1, then weight and bias per feature
 * (Ba et al. 2016, eq. 4). */
import type { LayerNormArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { floatsOf, vectorOf } from './host-memory.ts';

/** A part is a range of rows. Numerics: mean first, then the variance of the differences (two passes, so that a large
 * mean costs no digits), both summed in f64 from the first feature to the last; one rounding per output element. */
export function layerNorm(args: LayerNormArgs, part: Part = WHOLE): void {
  const [numTokens, hiddenSize] = args.x.shape as [number, number];
  const x = floatsOf(args.x);
  const out = floatsOf(args.out);
  const weight = args.weight === undefined ? undefined : vectorOf(args.weight);
  const bias = args.bias === undefined ? undefined : vectorOf(args.bias);

  const end = partEnd(numTokens, part);
  for (let t = partStart(numTokens, part); t < end; t++) {
    const row = t * hiddenSize;
    let sum = 0;
    for (let i = 0; i < hiddenSize; i++) sum += x[row + i]!;
    const mean = sum / hiddenSize;

    let sumOfSquares = 0;
    for (let i = 0; i < hiddenSize; i++) {
      const difference = x[row + i]! - mean;
      sumOfSquares += difference * difference;
    }
    const scale = 1 / Math.sqrt(sumOfSquares / hiddenSize + args.eps);

    for (let i = 0; i < hiddenSize; i++) {
      const normalized = (x[row + i]! - mean) * scale;
      out[row + i] = normalized * (weight === undefined ? 1 : weight[i]!) + (bias === undefined ? 0 : bias[i]!);
    }
  }
}
