/** Every SIMD instruction that kernels use, against what the specification says it does, in plain JavaScript. A wrong
 * opcode would give a valid module with other results. */
import { describe, expect, it } from 'vitest';
import type { Expression, V128, ValueType } from '../../../../engine/kernels/wasm/emitter/code.ts';
import { i32 } from '../../../../engine/kernels/wasm/emitter/scalar.ts';
import { f32x4, f64x2, i8x16, i16x8, i32x4, i64x2, v128 } from '../../../../engine/kernels/wasm/emitter/simd.ts';
import { Rng } from '../../../../engine/util/rng.ts';
import { compileFunction } from './run-function.ts';

type Inputs = readonly [a: Uint8Array, b: Uint8Array, c: Uint8Array];
type Compute = (a: V128, b: V128, c: V128) => V128;

const as = {
  i8: (bytes: Uint8Array) => [...new Int8Array(bytes.buffer, bytes.byteOffset, 16)],
  u8: (bytes: Uint8Array) => [...bytes],
  i16: (bytes: Uint8Array) => [...new Int16Array(bytes.buffer, bytes.byteOffset, 8)],
  u16: (bytes: Uint8Array) => [...new Uint16Array(bytes.buffer, bytes.byteOffset, 8)],
  i32: (bytes: Uint8Array) => [...new Int32Array(bytes.buffer, bytes.byteOffset, 4)],
  f32: (bytes: Uint8Array) => [...new Float32Array(bytes.buffer, bytes.byteOffset, 4)],
  f64: (bytes: Uint8Array) => [...new Float64Array(bytes.buffer, bytes.byteOffset, 2)],
};
type Lanes = keyof typeof as;

/** Runs an instruction on vectors at 0, 16 and 32 and returns its result, which it leaves at 48. */
function runOn(compute: Compute, inputs: Inputs): Uint8Array {
  const { run, bytes } = compileFunction((fn) => {
    const at = fn.param('i32');
    fn.emit(v128.store(at, compute(v128.load(at), v128.load(at, 16), v128.load(at, 32)), 48));
    return undefined;
  });
  for (const [i, input] of inputs.entries()) bytes.set(input, 16 * i);
  run(0);
  return bytes.slice(48, 64);
}

const randomBytes = (rng: Rng): Uint8Array => Uint8Array.from({ length: 16 }, () => rng.nextUint32());
const randomFloats = (rng: Rng, scale: number): Uint8Array =>
  new Uint8Array(Float32Array.from({ length: 4 }, () => (2 * rng.nextFloat() - 1) * scale).buffer);

interface Case {
  readonly compute: Compute;
  readonly lanes: Lanes;
  readonly expected: (inputs: Inputs) => number[];
  /** What the inputs are; bytes without. */
  readonly inputs?: (rng: Rng) => Inputs;
}

const bytes = (rng: Rng): Inputs => [randomBytes(rng), randomBytes(rng), randomBytes(rng)];
const floats = (rng: Rng): Inputs => [randomFloats(rng, 9), randomFloats(rng, 9), randomFloats(rng, 9)];
const smallBytes = (rng: Rng): Inputs => [
  randomBytes(rng),
  randomBytes(rng).map((byte) => byte & 0x7f),
  randomBytes(rng),
];

const map2 =
  (lanes: Lanes, f: (a: number, b: number) => number) =>
  (inputs: Inputs): number[] =>
    as[lanes](inputs[0]).map((a, i) => f(a, as[lanes](inputs[1])[i]!));
const map1 =
  (lanes: Lanes, f: (a: number) => number) =>
  ([a]: Inputs): number[] =>
    as[lanes](a).map(f);
const pairs = (values: readonly number[]): number[] =>
  Array.from({ length: values.length / 2 }, (_, i) => values[2 * i]! + values[2 * i + 1]!);
const clamp = (low: number, high: number) => (value: number) => Math.min(high, Math.max(low, value));
const toI16 = (value: number) => (value << 16) >> 16;
const nearestEven = (value: number): number => {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
};
const specials = (a: readonly number[], b: readonly number[]): Inputs => [
  new Uint8Array(Float32Array.from(a).buffer),
  new Uint8Array(Float32Array.from(b).buffer),
  new Uint8Array(16),
];
const round = Math.fround;
const LANES = [3, 17, 0, 31, 8, 9, 10, 11, 16, 1, 2, 30, 5, 6, 7, 15];

const CASES: Readonly<Record<string, Case>> = {
  'v128.and': { compute: v128.and, lanes: 'u8', expected: map2('u8', (a, b) => a & b) },
  'v128.or': { compute: v128.or, lanes: 'u8', expected: map2('u8', (a, b) => a | b) },
  'v128.bitselect': {
    compute: v128.bitselect,
    lanes: 'u8',
    expected: ([a, b, mask]) => [...mask].map((bits, i) => (a[i]! & bits) | (b[i]! & ~bits)),
  },
  'v128.shuffle': {
    compute: (a, b) => v128.shuffle(a, b, LANES),
    lanes: 'u8',
    expected: ([a, b]) => LANES.map((lane) => (lane < 16 ? a[lane]! : b[lane - 16]!)),
  },
  'i8x16.splat': { compute: () => i8x16.splat(-3), lanes: 'i8', expected: () => Array(16).fill(-3) },
  'i16x8.splat': { compute: () => i16x8.splat(-300), lanes: 'i16', expected: () => Array(8).fill(-300) },
  'i32x4.splat': {
    compute: () => i32x4.splat(0x8fffe000),
    lanes: 'i32',
    expected: () => Array(4).fill(0x8fffe000 | 0),
  },
  'f32x4.constant': { compute: () => f32x4.constant(0.1), lanes: 'f32', expected: () => Array(4).fill(round(0.1)) },
  'i8x16.narrowI16x8S': {
    compute: i8x16.narrowI16x8S,
    lanes: 'i8',
    expected: ([a, b]) => [...as.i16(a), ...as.i16(b)].map(clamp(-128, 127)),
  },
  'i16x8.add': { compute: i16x8.add, lanes: 'i16', expected: map2('i16', (a, b) => toI16(a + b)) },
  'i16x8.mul': { compute: i16x8.mul, lanes: 'i16', expected: map2('i16', (a, b) => toI16(Math.imul(a, b))) },
  'i16x8.shl': { compute: (a) => i16x8.shl(a, 5), lanes: 'i16', expected: map1('i16', (a) => toI16(a << 5)) },
  'i16x8.shrS': { compute: (a) => i16x8.shrS(a, 5), lanes: 'i16', expected: map1('i16', (a) => a >> 5) },
  'i16x8.shrU': { compute: (a) => i16x8.shrU(a, 4), lanes: 'u16', expected: map1('u16', (a) => a >>> 4) },
  'i16x8.narrowI32x4S': {
    compute: i16x8.narrowI32x4S,
    lanes: 'i16',
    expected: ([a, b]) => [...as.i32(a), ...as.i32(b)].map(clamp(-32768, 32767)),
  },
  'i16x8.narrowI32x4U': {
    compute: i16x8.narrowI32x4U,
    lanes: 'u16',
    expected: ([a, b]) => [...as.i32(a), ...as.i32(b)].map(clamp(0, 65535)),
  },
  'i16x8.extendLowI8x16S': {
    compute: i16x8.extendLowI8x16S,
    lanes: 'i16',
    expected: ([a]) => as.i8(a).slice(0, 8),
  },
  'i16x8.extaddPairwiseI8x16S': {
    compute: i16x8.extaddPairwiseI8x16S,
    lanes: 'i16',
    expected: ([a]) => pairs(as.i8(a)),
  },
  'i16x8.relaxedDotI8x16I7x16S': {
    compute: i16x8.relaxedDotI8x16I7x16S,
    lanes: 'i16',
    inputs: smallBytes,
    expected: ([a, b]) => pairs(as.i8(a).map((x, i) => x * b[i]!)),
  },
  'i32x4.add': { compute: i32x4.add, lanes: 'i32', expected: map2('i32', (a, b) => (a + b) | 0) },
  'i32x4.sub': { compute: i32x4.sub, lanes: 'i32', expected: map2('i32', (a, b) => (a - b) | 0) },
  'i32x4.shl': { compute: (a) => i32x4.shl(a, 23), lanes: 'i32', expected: map1('i32', (a) => a << 23) },
  'i32x4.shrS': { compute: (a) => i32x4.shrS(a, 3), lanes: 'i32', expected: map1('i32', (a) => a >> 3) },
  'i32x4.shrU': { compute: (a) => i32x4.shrU(a, 13), lanes: 'i32', expected: map1('i32', (a) => a >>> 13) },
  'i32x4.maxS': { compute: i32x4.maxS, lanes: 'i32', expected: map2('i32', Math.max) },
  'i32x4.maxU': {
    compute: i32x4.maxU,
    lanes: 'i32',
    expected: map2('i32', (a, b) => Math.max(a >>> 0, b >>> 0) | 0),
  },
  'i32x4.gtS': { compute: i32x4.gtS, lanes: 'i32', expected: map2('i32', (a, b) => (a > b ? -1 : 0)) },
  'i32x4.lanes': { compute: () => i32x4.lanes(3, -2, 1, 70_000), lanes: 'i32', expected: () => [3, -2, 1, 70_000] },
  'i32x4.extendLowI16x8S': {
    compute: i32x4.extendLowI16x8S,
    lanes: 'i32',
    expected: ([a]) => as.i16(a).slice(0, 4),
  },
  'i32x4.extendHighI16x8S': {
    compute: i32x4.extendHighI16x8S,
    lanes: 'i32',
    expected: ([a]) => as.i16(a).slice(4),
  },
  'i32x4.extaddPairwiseI16x8S': {
    compute: i32x4.extaddPairwiseI16x8S,
    lanes: 'i32',
    expected: ([a]) => pairs(as.i16(a)),
  },
  'i32x4.dotI16x8S': {
    compute: i32x4.dotI16x8S,
    lanes: 'i32',
    expected: ([a, b]) => pairs(as.i16(a).map((x, i) => x * as.i16(b)[i]!)).map((sum) => sum | 0),
  },
  'i32x4.truncSatF32x4S': {
    compute: i32x4.truncSatF32x4S,
    lanes: 'i32',
    inputs: (rng) => [randomFloats(rng, 2 ** 32), randomFloats(rng, 1), randomFloats(rng, 1)],
    expected: map1('f32', (a) => clamp(-(2 ** 31), 2 ** 31 - 1)(Math.trunc(a))),
  },
  'f32x4.add': { compute: f32x4.add, lanes: 'f32', inputs: floats, expected: map2('f32', (a, b) => round(a + b)) },
  'f32x4.sub': { compute: f32x4.sub, lanes: 'f32', inputs: floats, expected: map2('f32', (a, b) => round(a - b)) },
  'f32x4.mul': { compute: f32x4.mul, lanes: 'f32', inputs: floats, expected: map2('f32', (a, b) => round(a * b)) },
  'f32x4.div': { compute: f32x4.div, lanes: 'f32', inputs: floats, expected: map2('f32', (a, b) => round(a / b)) },
  'f32x4.max': { compute: f32x4.max, lanes: 'f32', inputs: floats, expected: map2('f32', Math.max) },
  'f32x4.pmin': {
    compute: f32x4.pmin,
    lanes: 'f32',
    inputs: () => specials([1, Number.NaN, 2, 3], [Number.NaN, 8, -8, 4]),
    expected: () => [1, Number.NaN, -8, 3],
  },
  'f32x4.pmax': {
    compute: f32x4.pmax,
    lanes: 'f32',
    inputs: () => specials([1, Number.NaN, 2, 3], [Number.NaN, 8, -8, 4]),
    expected: () => [1, Number.NaN, 2, 4],
  },
  'f32x4.ne': {
    compute: f32x4.ne,
    lanes: 'i32',
    inputs: () => specials([1, Number.NaN, 0, 2], [1, Number.NaN, -0, 3]),
    expected: () => [0, -1, 0, -1],
  },
  'f32x4.ge': {
    compute: f32x4.ge,
    lanes: 'i32',
    inputs: () => specials([1, Number.NaN, -1, 2], [1, 1, 0, 1]),
    expected: () => [-1, 0, 0, -1],
  },
  'f32x4.gt': {
    compute: f32x4.gt,
    lanes: 'i32',
    inputs: () => specials([1, Number.NaN, 1, 2], [1, 1, 0, Number.NaN]),
    expected: () => [0, 0, -1, 0],
  },
  'f32x4.trunc': { compute: f32x4.trunc, lanes: 'f32', inputs: floats, expected: map1('f32', Math.trunc) },
  'f32x4.abs': { compute: f32x4.abs, lanes: 'f32', inputs: floats, expected: map1('f32', Math.abs) },
  'f32x4.neg': { compute: f32x4.neg, lanes: 'f32', inputs: floats, expected: map1('f32', (a) => -a) },
  'f32x4.nearest': {
    compute: f32x4.nearest,
    lanes: 'f32',
    inputs: () => [0, 1, 2].map(() => new Uint8Array(Float32Array.of(2.5, 3.5, -2.5, 2.6).buffer)) as unknown as Inputs,
    expected: map1('f32', nearestEven),
  },
  'f32x4.convertI32x4S': { compute: f32x4.convertI32x4S, lanes: 'f32', expected: map1('i32', round) },
  'f64x2.sub': {
    compute: (a, b) => f64x2.sub(f64x2.promoteLowF32x4(a), f64x2.promoteLowF32x4(b)),
    lanes: 'f64',
    inputs: floats,
    expected: ([a, b]) => [0, 1].map((i) => as.f32(a)[i]! - as.f32(b)[i]!),
  },
  'f64x2.mul': {
    compute: (a, b) => f64x2.mul(f64x2.promoteLowF32x4(a), f64x2.promoteLowF32x4(b)),
    lanes: 'f64',
    inputs: floats,
    expected: ([a, b]) => [0, 1].map((i) => as.f32(a)[i]! * as.f32(b)[i]!),
  },
  'f64x2.pmax': {
    compute: (a, b) => f64x2.pmax(f64x2.promoteLowF32x4(a), f64x2.promoteLowF32x4(b)),
    lanes: 'f64',
    inputs: () => specials([1, 5, 0, 0], [Number.NaN, 8, 0, 0]),
    expected: () => [1, 8],
  },
  'i64x2.shl': {
    compute: (a) => i64x2.shl(a, 40),
    lanes: 'u8',
    expected: ([a]) => [0, 8].flatMap((start) => [0, 0, 0, 0, 0, ...a.slice(start, start + 3)]),
  },
  'f64x2.constant': { compute: () => f64x2.constant(0.1), lanes: 'f64', expected: () => [0.1, 0.1] },
  'f64x2.add': {
    compute: (a, b) => f64x2.add(f64x2.promoteLowF32x4(a), f64x2.promoteLowF32x4(b)),
    lanes: 'f64',
    inputs: floats,
    expected: ([a, b]) => [0, 1].map((i) => as.f32(a)[i]! + as.f32(b)[i]!),
  },
};

describe('SIMD instructions', () => {
  it.each(Object.keys(CASES))('%s', (name) => {
    const { compute, lanes, expected, inputs = bytes } = CASES[name]!;
    const rng = Rng.fromSeed(7);
    for (let i = 0; i < 10; i++) {
      const given = inputs(rng);
      expect(as[lanes](runOn(compute, given))).toEqual(expected(given));
    }
  });

  it('f32x4.relaxedMadd rounds once or twice, never else', () => {
    const rng = Rng.fromSeed(8);
    for (let i = 0; i < 20; i++) {
      const given = floats(rng);
      const actual = as.f32(runOn(f32x4.relaxedMadd, given));
      const [a, b, c] = given.map((input) => as.f32(input)) as [number[], number[], number[]];
      actual.forEach((value, lane) => {
        // The product of two f32 is exact in f64; adding a third may round in f64 already, by less than f32 can see here.
        const once = round(a[lane]! * b[lane]! + c[lane]!);
        const twice = round(round(a[lane]! * b[lane]!) + c[lane]!);
        expect([once, twice]).toContain(value);
      });
    }
  });

  it('loads widen, repeat or fill with zeros', () => {
    const source = Uint8Array.from({ length: 16 }, (_, i) => 0xf3 - 17 * i);
    const load = (emit: (address: Expression<'i32'>, offset?: number) => V128): Uint8Array => {
      const { run, bytes: memory } = compileFunction((fn) => {
        const at = fn.param('i32');
        fn.emit(v128.store(at, emit(at, 64), 0));
        return undefined;
      });
      memory.set(source, 64);
      run(0);
      return memory.slice(0, 16);
    };
    expect(load(v128.load)).toEqual(source);
    expect(as.i16(load(i16x8.load8x8S))).toEqual(as.i8(source).slice(0, 8));
    expect(as.i32(load(i32x4.load16x4U))).toEqual(as.u16(source).slice(0, 4));
    expect(as.i32(load(i32x4.load16x4S))).toEqual(as.i16(source).slice(0, 4));
    expect(as.u16(load(v128.load16Splat))).toEqual(Array(8).fill(as.u16(source)[0]));
    expect(as.i32(load(v128.load32Splat))).toEqual(Array(4).fill(as.i32(source)[0]));
    expect(as.i32(load(v128.load32Zero))).toEqual([as.i32(source)[0], 0, 0, 0]);
  });

  it('lanes come out and scalars go in', () => {
    const extract = (emit: (a: V128) => Expression<ValueType>, input: Uint8Array): number => {
      const { run, bytes: memory } = compileFunction((fn) => emit(v128.load(fn.param('i32'))));
      memory.set(input, 32);
      return run(32);
    };
    const four = new Uint8Array(Float32Array.of(1, -2, 3.5, 4).buffer);
    expect([0, 1, 2, 3].map((lane) => extract((a) => f32x4.extractLane(a, lane), four))).toEqual([1, -2, 3.5, 4]);
    expect(extract((a) => i32x4.extractLane(a, 2), new Uint8Array(Int32Array.of(1, 2, -3, 4).buffer))).toBe(-3);
    expect(extract((a) => f64x2.extractLane(a, 1), new Uint8Array(Float64Array.of(1, 0.1).buffer))).toBe(0.1);
    const anyTrue = (...lanes: number[]) =>
      extract((a) => v128.anyTrue(a), new Uint8Array(Int32Array.from(lanes).buffer));
    expect([anyTrue(0, 0, 0, 0), anyTrue(0, 0, 256, 0), anyTrue(-1, -1, -1, -1)]).toEqual([0, 1, 1]);
    const splat = compileFunction((fn) => i32x4.extractLane(f32x4.splat(fn.param('f32')), 3));
    expect(splat.run(1)).toBe(0x3f800000);
    expect(compileFunction((fn) => i32x4.extractLane(i32x4.splatOf(fn.param('i32')), 2)).run(-7)).toBe(-7);
    const lane = compileFunction((fn) => i16x8.extractLaneU(i32x4.splatOf(fn.param('i32')), 5));
    expect(lane.run(0x8001_7fff | 0)).toBe(0x8001);
    expect(compileFunction((fn) => f64x2.extractLane(f64x2.splat(fn.param('f64')), 1)).run(0.1)).toBe(0.1);
    expect(compileFunction(() => i32.const(5)).run()).toBe(5);
  });
});
