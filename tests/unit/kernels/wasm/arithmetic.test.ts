import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { v128 } from '../../../../engine/kernels/wasm/emitter/simd.ts';
import { dotSmallBytes, exponential } from '../../../../engine/kernels/wasm/generators/arithmetic.ts';
import { HALF_POSTSCALE, HALF_PRESCALE, loadF16x4 } from '../../../../engine/kernels/wasm/generators/half-floats.ts';
import { F16_TO_F32 } from '../../../../engine/tensor/float16.ts';
import { compileFunction } from './run-function.ts';

const FEATURES = [{ relaxed: true }, { relaxed: false }];

describe.each(FEATURES)('exponential, relaxed SIMD $relaxed', (features) => {
  const { run, buffer } = compileFunction((fn) => {
    const at = fn.param('i32');
    const x = fn.local('v128');
    fn.emit(x.set(v128.load(at)), ...exponential(fn, features, [x]), v128.store(at, x));
    return undefined;
  });
  const values = new Float32Array(buffer, 0, 4);
  const exp = (x: number): number => {
    values.fill(x);
    run(0);
    return values[2]!;
  };

  it('is right to 2e-7 of the result', () => {
    for (let x = -87; x <= 88; x += 0.0137) {
      const expected = Math.exp(Math.fround(x));
      expect(Math.abs(exp(x) - expected) / expected, `e^${x}`).toBeLessThan(2e-7);
    }
  });

  it('is exactly 1 at 0, tiny or huge but finite beyond its range, and NaN for any NaN', () => {
    expect(exp(0)).toBe(1);
    expect(exp(-0)).toBe(1);
    for (const low of [-88, -1000, -3e38, -Infinity]) expect(exp(low)).toBeLessThan(2e-38);
    for (const high of [89, 1000, Infinity]) expect(exp(high)).toBeGreaterThan(1e38);
    expect(exp(Infinity)).toBeLessThan(Infinity);
    const bits = new Uint32Array(buffer, 0, 4);
    for (const nan of [0x7fc00000, 0x7fc00001, 0xffffffff, 0x7f800001]) {
      bits.fill(nan);
      run(0);
      expect(values[1]).toBeNaN();
    }
  });
});

describe('dotSmallBytes', () => {
  it('gives the same integers with and without relaxed SIMD', () => {
    const [relaxed, plain] = FEATURES.map((features) =>
      compileFunction((fn) => {
        const at = fn.param('i32');
        const levels = fn.local('v128');
        fn.emit(levels.set(v128.load(at, 16)), v128.store(at, dotSmallBytes(features, v128.load(at), levels), 32));
        return undefined;
      }),
    );
    const vector = (min: number, max: number) => fc.array(fc.integer({ min, max }), { minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(vector(-128, 127), vector(0, 15), (x, levels) => {
        const results = [relaxed!, plain!].map(({ run, bytes }) => {
          bytes.set(x);
          bytes.set(levels, 16);
          run(0);
          return [...new Int16Array(bytes.buffer, 32, 8)];
        });
        const product = (i: number) => x[i]! * levels[i]!;
        const expected = Array.from({ length: 8 }, (_, i) => (product(2 * i) + product(2 * i + 1)) | 0); // no -0
        expect(results).toEqual([expected, expected]);
      }),
    );
  });
});

describe('loadF16x4', () => {
  it('reads every finite f16 exactly, once the two scales are made up for', () => {
    const { run, buffer } = compileFunction((fn) => {
      const at = fn.param('i32');
      fn.emit(v128.store(at, loadF16x4(fn, at, 16)));
      return undefined;
    });
    const [bits, values] = [new Uint16Array(buffer), new Float32Array(buffer)];
    for (let pattern = 0; pattern < 0x10000; pattern += 4) {
      const four = [0, 1, 2, 3].map((i) => pattern + i);
      bits.set(four, 8);
      run(0);
      four.forEach((value, lane) => {
        if ((value & 0x7c00) === 0x7c00) return;
        const read = Math.fround(values[lane]! * HALF_PRESCALE) * HALF_POSTSCALE;
        if (!Object.is(read, F16_TO_F32[value]))
          expect.fail(`${value.toString(16)}: ${read}, not ${F16_TO_F32[value]}`);
      });
    }
  });
});
