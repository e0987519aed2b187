/** The linear layer: every output feature is the dot product of a token's row with one row of the weight. */
import type { MatmulArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { FormattedView, floatsOf, vectorOf } from './host-memory.ts';

/** A part is a range of output features, that is of weight rows. */
export function matmul({ residual, out, ...product }: MatmulArgs, part: Part = WHOLE): void {
  const outputs = floatsOf(out);
  const joined = residual === undefined ? undefined : floatsOf(residual);
  forEachProduct(product, part, (i, value) => {
    outputs[i] = joined === undefined ? value : value + joined[i]!;
  });
}

/** Calls `take` with each output of the part: where it belongs in [T, N], and its f32 value.
 *
 * Each weight row is dequantized once and then meets every token, so that a batch costs one dequantization.
 *
 * Numerics: weights dequantized to f32; products of two f32 are exact in f64; summed in f64 from k = 0 to K - 1, then
 * the bias, then one rounding. An output element's order of summation does not depend on T: a row computed alone and
 * the same row in a batch have the same bits (law 2). */
export function forEachProduct(
  layer: Pick<MatmulArgs, 'x' | 'weight' | 'bias'>,
  part: Part,
  take: (place: number, value: number) => void,
): void {
  const [numTokens, numIn] = layer.x.shape as [number, number];
  const [numOut] = layer.weight.shape as [number, number];
  const x = floatsOf(layer.x);
  const weight = new FormattedView(layer.weight);
  const bias = layer.bias === undefined ? undefined : vectorOf(layer.bias);
  const weightRow = new Float32Array(numIn);

  const end = partEnd(numOut, part);
  for (let n = partStart(numOut, part); n < end; n++) {
    weight.read(n * numIn, numIn, weightRow);
    for (let t = 0; t < numTokens; t++) {
      const row = t * numIn;
      let sum = 0;
      for (let k = 0; k < numIn; k++) sum += x[row + k]! * weightRow[k]!;
      take(t * numOut + n, Math.fround(bias === undefined ? sum : sum + bias[n]!));
    }
  }
}
