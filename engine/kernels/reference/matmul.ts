/** The linear layer: every output feature is the dot product of a token's row with one row of the weight. */
import type { MatmulArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { FormattedView, floatsOf, vectorOf } from './host-memory.ts';

/** A part is a range of output features, that is of weight rows. Each weight row is dequantized once and then meets
 * every token, so that a batch costs one dequantization.
 *
 * Numerics: weights dequantized to f32; products of two f32 are exact in f64; summed in f64 from k = 0 to K - 1, then
 * the bias, then one rounding. An output element's order of summation does not depend on T: a row computed alone and
 * the same row in a batch have the same bits (law 2). */
export function matmul(args: MatmulArgs, part: Part = WHOLE): void {
  const [numTokens, numIn] = args.x.shape as [number, number];
  const [numOut] = args.weight.shape as [number, number];
  const x = floatsOf(args.x);
  const out = floatsOf(args.out);
  const weight = new FormattedView(args.weight);
  const bias = args.bias === undefined ? undefined : vectorOf(args.bias);
  const weightRow = new Float32Array(numIn);

  const end = partEnd(numOut, part);
  for (let n = partStart(numOut, part); n < end; n++) {
    weight.read(n * numIn, numIn, weightRow);
    for (let t = 0; t < numTokens; t++) {
      const row = t * numIn;
      let sum = 0;
      for (let k = 0; k < numIn; k++) sum += x[row + k]! * weightRow[k]!;
      out[t * numOut + n] = bias === undefined ? sum : sum + bias[n]!;
    }
  }
}
