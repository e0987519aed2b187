/** f16 to f32 and back, against tensor/float16.ts, on every pattern and around every boundary. */
import { describe, expect, it } from 'vitest';
import { v128 } from '../../../../engine/kernels/wasm/emitter/simd.ts';
import { narrowFloats, widenHalves } from '../../../../engine/kernels/wasm/generators/half-floats.ts';
import { F16_TO_F32, f32ToF16 } from '../../../../engine/tensor/float16.ts';
import { Rng } from '../../../../engine/util/rng.ts';
import { compileFunction } from './run-function.ts';

/** Rounds f32 values four at a time to patterns. */
function narrower(): (values: Float32Array) => Uint32Array {
  const { run, buffer } = compileFunction((fn) => {
    const at = fn.param('i32');
    const x = fn.local('v128');
    fn.emit(x.set(v128.load(at)), ...narrowFloats(fn, [x]), v128.store(at, x));
    return undefined;
  });
  const [floats, words] = [new Float32Array(buffer, 0, 4), new Uint32Array(buffer, 0, 4)];
  return (values) => {
    const patterns = new Uint32Array(values.length);
    for (let i = 0; i < values.length; i += 4) {
      floats.set(values.subarray(i, i + 4));
      run(0);
      patterns.set(words.subarray(0, Math.min(4, values.length - i)), i);
    }
    return patterns;
  };
}

describe('widenHalves', () => {
  it('reads every f16, infinities and NaN too, whatever the upper half of the lane holds', () => {
    const { run, buffer } = compileFunction((fn) => {
      const at = fn.param('i32');
      const x = fn.local('v128');
      fn.emit(x.set(v128.load(at)), ...widenHalves(fn, [x]), v128.store(at, x));
      return undefined;
    });
    const [words, values] = [new Uint32Array(buffer), new Float32Array(buffer)];
    for (let pattern = 0; pattern < 0x10000; pattern++) {
      words[pattern % 4] = pattern | 0xabcd0000;
      run(0);
      const read = values[pattern % 4]!;
      if (!Object.is(read, F16_TO_F32[pattern])) expect.fail(`${pattern.toString(16)}: ${read}`);
    }
  });
});

describe('narrowFloats', () => {
  const narrow = narrower();
  const expectAll = (values: Float32Array) => {
    const patterns = narrow(values);
    values.forEach((value, i) => {
      const expected = f32ToF16(value);
      if (!Number.isNaN(value) && patterns[i] !== expected) {
        expect.fail(`${value}: ${patterns[i]!.toString(16)}, not ${expected.toString(16)}`);
      }
    });
  };

  it('rounds to nearest, ties to even: at each f16, half-way between two, and next to both', () => {
    const words: number[] = [];
    const wordOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]!;
    for (let pattern = 0; pattern < 0x7c00; pattern++) {
      const [value, next] = [F16_TO_F32[pattern]!, pattern === 0x7bff ? 65536 : F16_TO_F32[pattern + 1]!];
      for (const word of [wordOf(value), wordOf((value + next) / 2)]) words.push(word - 1, word, word + 1);
    }
    const positive = Uint32Array.from(words, (word) => Math.max(0, word));
    expectAll(new Float32Array(positive.buffer));
    expectAll(new Float32Array(positive.map((word) => word | 0x80000000).buffer));
  });

  it('rounds any f32', () => {
    const rng = Rng.fromSeed(3);
    expectAll(new Float32Array(Uint32Array.from({ length: 40_000 }, () => rng.nextUint32()).buffer));
    expectAll(Float32Array.of(Infinity, -Infinity, 3.4e38, -3.4e38, 65519.99, 65520, 1e-45, -1e-45, 0, -0));
  });

  it('makes one NaN of every NaN, of the same sign', () => {
    const nans = Uint32Array.of(0x7fc00000, 0x7f800001, 0xffffffff, 0xff80cafe);
    expect([...narrow(new Float32Array(nans.buffer))].map((pattern) => pattern & 0x7fff)).toEqual(
      Array(4).fill(0x7e00),
    );
  });
});
