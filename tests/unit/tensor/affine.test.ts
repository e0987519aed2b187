import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AffineGranularity,
  type AffineTensor,
  dequantizeAffine,
  quantizeAffine,
} from '../../../engine/tensor/affine.ts';
import { chooseAffineParams, levelRange } from '../../../engine/tensor/affine-params.ts';

const { abs } = Math;
const MAX_F32 = 3.4028234663852886e38;

const bits = fc.constantFrom<8 | 4>(8, 4);
const matrix = fc
  .record({
    rows: fc.integer({ min: 1, max: 5 }),
    groupsPerRow: fc.integer({ min: 1, max: 4 }),
    groupSize: fc.integer({ min: 1, max: 9 }),
    granularity: fc.constantFrom('tensor', 'row', 'group'),
    kind: fc.constantFrom<(value: number) => number>(
      (value) => value,
      (value) => abs(value), // one-sided
      (value) => -abs(value),
      () => 0.37, // constant
      () => -7e4,
      () => 0,
      (value) => 1000 + value,
    ),
    magnitude: fc.constantFrom(1, 1e-3, 1e6, 1e30, 1e-30, 2 ** -126, 2 ** -140, 2 ** -149, MAX_F32),
  })
  .chain(({ rows, groupsPerRow, groupSize, granularity, kind, magnitude }) => {
    const columns = groupsPerRow * groupSize;
    const length = rows * columns;
    const limited = fc.float32Array({ minLength: length, maxLength: length, min: -1, max: 1, noNaN: true });
    return limited.map((values) => ({
      shape: [rows, columns],
      values: values.map((value) => Math.max(-MAX_F32, Math.min(MAX_F32, kind(value) * magnitude))),
      granularity: (granularity === 'group' ? { groupSize } : granularity) as AffineGranularity,
    }));
  });

function scaleOf(tensor: AffineTensor, i: number): number {
  return tensor.scales[Math.floor(i / tensor.groupSize)]!;
}

describe('affine quantization', () => {
  it('brings every element back within half a step', () => {
    fc.assert(
      fc.property(matrix, bits, fc.boolean(), ({ values, shape, granularity }, bits, symmetric) => {
        const tensor = quantizeAffine(values, shape, { bits, symmetric, granularity });
        const back = dequantizeAffine(tensor);
        values.forEach((value, i) => {
          const halfStep = scaleOf(tensor, i) / 2;
          if (!(abs(back[i]! - value) <= halfStep))
            expect.fail(`${value} became ${back[i]}, half a step is ${halfStep}`);
        });
      }),
    );
  });

  it('has steps no larger than the range asks for', () => {
    fc.assert(
      fc.property(matrix, bits, ({ values, shape }, bits) => {
        const tensor = quantizeAffine(values, shape, { bits, granularity: 'tensor' });
        const range = values.reduce((a, b) => Math.max(a, b), 0) - values.reduce((a, b) => Math.min(a, b), 0);
        if (range === 0) return;
        expect(tensor.scales[0]).toBeLessThanOrEqual((range / (2 ** bits - 1)) * (1 + 2 ** -13) + 2 ** -149);
      }),
    );
  });

  it('represents zero exactly, wherever the range lies', () => {
    fc.assert(
      fc.property(matrix, bits, fc.boolean(), fc.nat(), ({ values, shape, granularity }, bits, symmetric, where) => {
        const at = where % values.length;
        values[at] = 0;
        const tensor = quantizeAffine(values, shape, { bits, symmetric, granularity });
        expect(abs(dequantizeAffine(tensor)[at]!)).toBe(0);
        const { qMin, qMax } = levelRange(bits, symmetric);
        for (const zeroPoint of tensor.zeroPoints) {
          expect(zeroPoint).toBeGreaterThanOrEqual(qMin);
          expect(zeroPoint).toBeLessThanOrEqual(qMax);
          if (symmetric) expect(zeroPoint).toBe(0);
        }
      }),
    );
  });

  it('is odd when symmetric: -x becomes -q', () => {
    fc.assert(
      fc.property(matrix, bits, ({ values, shape, granularity }, bits) => {
        const options = { bits, symmetric: true, granularity };
        const there = dequantizeAffine(quantizeAffine(values, shape, options));
        // Halves round up on either side, so elements exactly between two levels may differ: by a step, not more.
        const mirrored = quantizeAffine(
          values.map((value) => -value),
          shape,
          options,
        );
        dequantizeAffine(mirrored).forEach((value, i) => {
          expect(abs(there[i]! + value)).toBeLessThanOrEqual(scaleOf(mirrored, i));
        });
      }),
    );
  });

  it('keeps rows and groups apart', () => {
    fc.assert(
      fc.property(matrix, bits, fc.boolean(), ({ values, shape }, bits, symmetric) => {
        const [rows, columns] = shape as [number, number];
        const whole = quantizeAffine(values, shape, { bits, symmetric, granularity: 'row' });
        const bytesPerRow = whole.data.length / rows;
        for (let row = 0; row < rows; row++) {
          const part = values.subarray(row * columns, (row + 1) * columns);
          const alone = quantizeAffine(part, [columns], { bits, symmetric, granularity: 'tensor' });
          expect(whole.data.subarray(row * bytesPerRow, (row + 1) * bytesPerRow)).toEqual(alone.data);
          expect(whole.scales[row]).toBe(alone.scales[0]);
          expect(whole.zeroPoints[row]).toBe(alone.zeroPoints[0]);
        }
      }),
    );
  });

  it('works one example by hand', () => {
    // Range -1..2 over 15 steps of 0.2, rounded up to 15 bits; zero is 5 levels above -8.
    const values = Float32Array.of(-1, 0, 0.5, 2, 1, 0.1);
    const tensor = quantizeAffine(values, [2, 3], { bits: 4, granularity: 'tensor' });
    expect(tensor.scales[0]).toBeCloseTo(0.2, 5);
    expect([...tensor.zeroPoints]).toEqual([-3]);
    // q: -8 -3 -1 | 7 2 -3 (0.1 is a hair under half a step). Low nibble first; each row pads to a whole byte.
    expect([...tensor.data]).toEqual([0xd8, 0x0f, 0x27, 0x0d]);
    expect(quantizeAffine(Float32Array.of(-1, 0.5), [2], { bits: 8, symmetric: true }).data).toEqual(
      Uint8Array.of(0x81, 63),
    );
  });

  it('counts its groups', () => {
    const values = new Float32Array(24);
    const numScales = (granularity: AffineGranularity) =>
      quantizeAffine(values, [2, 3, 4], { bits: 8, granularity }).scales.length;
    expect([numScales('tensor'), numScales('row'), numScales({ groupSize: 2 })]).toEqual([1, 6, 12]);
  });

  it('takes an empty tensor', () => {
    for (const shape of [[0], [0, 4], [4, 0]]) {
      for (const granularity of ['tensor', 'row', { groupSize: 1 }] as const) {
        const tensor = quantizeAffine(new Float32Array(0), shape, { bits: 4, granularity });
        expect(dequantizeAffine(tensor)).toEqual(new Float32Array(0));
      }
    }
  });

  it('refuses what has no answer', () => {
    const message = (pattern: RegExp) =>
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(pattern) });
    const values = Float32Array.of(1, 2, 3, 4);
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      expect(() => quantizeAffine(Float32Array.of(1, 2, bad), [3], { bits: 8 })).toThrow(message(/at index 2/));
    }
    expect(() => quantizeAffine(values, [3], { bits: 8 })).toThrow(message(/\[3\] has 3 elements, got 4/));
    expect(() => quantizeAffine(values, [2, 2], { bits: 5 as 4 })).toThrow(message(/bits.*8 or 4/));
    for (const groupSize of [0, -1, 3, 8, 1.5, Number.NaN]) {
      expect(() => quantizeAffine(values, [4], { bits: 4, granularity: { groupSize } })).toThrow(message(/groupSize/));
    }
  });
});

describe('chooseAffineParams', () => {
  it('widens a range that leaves zero out', () => {
    for (const bits of [8, 4] as const) {
      expect(chooseAffineParams(3, 5, bits, false)).toEqual(chooseAffineParams(0, 5, bits, false));
      expect(chooseAffineParams(-5, -3, bits, false)).toEqual(chooseAffineParams(-5, 0, bits, false));
      expect(chooseAffineParams(3, 5, bits, true)).toEqual(chooseAffineParams(-5, 5, bits, true));
    }
    expect(chooseAffineParams(0, 0, 8, false).scale).toBe(1);
  });

  it('gives scales whose products with any level difference are exact in f32', () => {
    const range = fc.tuple(
      fc.float({ noNaN: true, noDefaultInfinity: true }),
      fc.float({ noNaN: true, noDefaultInfinity: true }),
    );
    fc.assert(
      fc.property(range, bits, fc.boolean(), ([a, b], bits, symmetric) => {
        const { scale } = chooseAffineParams(Math.min(a, b), Math.max(a, b), bits, symmetric);
        expect(Math.fround(scale)).toBe(scale);
        expect(scale).toBeGreaterThan(0);
        for (const steps of [1, 3, 127, 254, 255]) {
          const product = scale * steps;
          if (product <= MAX_F32) expect(Math.fround(product)).toBe(product);
        }
      }),
    );
  });
});
