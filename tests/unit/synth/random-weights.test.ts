import { describe, expect, it } from 'vitest';
import { RandomWeights } from '../../../engine/synth/random-weights.ts';
import type { FloatDType } from '../../../engine/tensor/dtype.ts';
import { dequantize } from '../../../engine/tensor/quant/codec.ts';
import { numElements, type Shape } from '../../../engine/tensor/shape.ts';
import { byteLengthOf } from '../../../engine/tensor/storage.ts';

const NORMAL = { mean: 0, standardDeviation: 0.02 };

function bytesOf(weights: RandomWeights, dtype: FloatDType, shape: Shape, distribution = NORMAL): Buffer {
  const parts: Uint8Array[] = [];
  for (const chunk of weights.chunks(dtype, shape, distribution)) parts.push(chunk.slice());
  return Buffer.concat(parts);
}

// Small: numbers of its own. Large: drawn from the pool. 70,001 and 300 do not fill chunks.
const SHAPES: [string, FloatDType, Shape][] = [
  ['small f32', 'f32', [101, 3]],
  ['small q6_k', 'q6_k', [300, 256]],
  ['large q4_0', 'q4_0', [1500, 416]],
  ['large q4_k', 'q4_k', [300, 2048]],
  ['large f16', 'f16', [2001, 160]],
  ['large with short rows', 'q8_0', [9000, 32]],
  ['a long vector', 'f32', [70_001]],
];

describe.each(SHAPES)('%s', (_name, dtype, shape) => {
  const bytes = bytesOf(new RandomWeights(1), dtype, shape);

  it('has the right number of bytes, the same for the same seed and others for another', () => {
    expect(bytes.length).toBe(byteLengthOf(dtype, shape));
    expect(bytesOf(new RandomWeights(1), dtype, shape).equals(bytes)).toBe(true);
    expect(bytesOf(new RandomWeights(2), dtype, shape).equals(bytes)).toBe(false);
  });

  it('is close to normal', () => {
    const values = dequantize(dtype, bytes, numElements(shape));
    const { mean, variance, beyond } = moments(values);
    const deviation = NORMAL.standardDeviation;
    // Five standard errors, and the rounding of four bits.
    expect(Math.abs(mean)).toBeLessThan(
      (5 * deviation) / Math.sqrt(Math.min(values.length, 2 ** 18)) + deviation / 200,
    );
    expect(Math.sqrt(variance) / deviation).toBeGreaterThan(values.length < 1000 ? 0.8 : 0.98);
    expect(Math.sqrt(variance) / deviation).toBeLessThan(values.length < 1000 ? 1.2 : 1.02);
    // Of normal numbers 4.55% lie beyond two standard deviations.
    if (values.length > 1000) expect(beyond).toBeCloseTo(0.0455, 2);
  });
});

function moments(values: Float32Array): { mean: number; variance: number; beyond: number } {
  let [sum, squares, beyond] = [0, 0, 0];
  for (const value of values) {
    sum += value;
    squares += value * value;
    if (Math.abs(value) > 2 * NORMAL.standardDeviation) beyond++;
  }
  const mean = sum / values.length;
  return { mean, variance: squares / values.length - mean * mean, beyond: beyond / values.length };
}

it('tensors of one seed differ, and no two rows of a drawn one are equal', () => {
  const weights = new RandomWeights(1);
  const [bytes, other] = [bytesOf(weights, 'q4_0', [4000, 128]), bytesOf(weights, 'q4_0', [4000, 128])];
  expect(bytes.equals(other)).toBe(false);
  const rows = new Set(Array.from({ length: 4000 }, (_, i) => bytes.toString('hex', i * 72, (i + 1) * 72)));
  expect(rows.size).toBe(4000);
});

it('values lie around the mean that is asked for', () => {
  const bytes = bytesOf(new RandomWeights(1), 'f32', [256], { mean: 1, standardDeviation: 0.05 });
  const values = dequantize('f32', bytes, 256);
  expect(values.every((value) => value > 0.7 && value < 1.3)).toBe(true);
});
