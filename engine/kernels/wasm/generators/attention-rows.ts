/** How rows of 16 numbers are read from strips of keys and of values (ops/kv-pages.ts draws them), as f32.
 *
 * f16 becomes 2^-112 of its value, exactly, because that takes three instructions less (half-floats.ts). What it is
 * multiplied with makes up for it: see SCALING. */
import type { I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance } from '../emitter/control.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { f32x4, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { STRIP } from './attention-scratch.ts';
import { shrinkFiniteHalves, shrinkHalves, widenHalves } from './half-floats.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

export type StripDType = 'f32' | 'f16' | 'q8_0';

/** From one row to the next. */
export const ROW_BYTES: Readonly<Record<StripDType, number>> = { f32: 4 * STRIP, f16: 2 * STRIP, q8_0: STRIP };

/** Powers of two that queries and weights carry, and what scores are multiplied by in the end. A weight is at most 1, so all
 * of 2^112 fits; a query might overflow, so it carries half, and may be as large as 2^63. */
export const SCALING: Readonly<
  Record<StripDType, { readonly query: number; readonly score: number; readonly weight: number }>
> = {
  f32: { query: 1, score: 1, weight: 1 },
  f16: { query: 2 ** 64, score: 2 ** 48, weight: 2 ** 112 },
  q8_0: { query: 1, score: 1, weight: 1 },
};

export interface RowReader {
  /** From one row to the next. */
  readonly rowBytes: number;
  /** Fills `row`, four vectors, with the row that is `i` rows after `place`. */
  load(row: readonly V[], place: I, i: number): Statement[];
  /** What else moves on after `count` rows. */
  advance(count: number): Statement[];
}

/** Rows of numbers without scales. Of f16, only finite numbers. */
export function plainRows(fn: FunctionBuilder, dtype: 'f32' | 'f16'): RowReader {
  if (dtype === 'f16') return halfRows((row) => shrinkFiniteHalves(fn, row));
  return {
    rowBytes: ROW_BYTES.f32,
    load: (row, place, i) => row.map((x, v) => x.set(v128.load(place, 4 * STRIP * i + 16 * v))),
    advance: () => [],
  };
}

/** Rows of f16: infinities and NaN too. */
export function anyHalfRows(fn: FunctionBuilder): RowReader {
  return halfRows((row) => shrinkHalves(fn, row));
}

function halfRows(shrink: (row: readonly V[]) => Statement[]): RowReader {
  return {
    rowBytes: ROW_BYTES.f16,
    load: (row, place, i) => [
      ...row.map((x, v) => x.set(i32x4.load16x4S(place, 2 * STRIP * i + 8 * v))),
      ...shrink(row),
    ],
    advance: () => [],
  };
}

/** Rows of 16 levels, with a scale for each lane: one feature of 16 keys. */
export function levelsWithLaneScales(fn: FunctionBuilder, scales: readonly V[]): RowReader {
  const pairs = fn.locals('v128', 2);
  return {
    rowBytes: ROW_BYTES.q8_0,
    load: (row, place, i) => [
      ...loadLevels(pairs, row, place, STRIP * i),
      ...row.map((x, v) => x.set(f32x4.mul(x, scales[v]!))),
    ],
    advance: () => [],
  };
}

/** Rows of 16 levels with a scale for the row: 16 features of one key.
 * @param scale  where the next row's scale is, f32 */
export function levelsWithRowScale(fn: FunctionBuilder, scale: I): RowReader {
  const pairs = fn.locals('v128', 2);
  const splat = fn.local('v128');
  return {
    rowBytes: ROW_BYTES.q8_0,
    load: (row, place, i) => [
      splat.set(v128.load32Splat(scale, 4 * i)),
      ...loadLevels(pairs, row, place, STRIP * i),
      ...row.map((x) => x.set(f32x4.mul(x, splat))),
    ],
    advance: (count) => [advance(scale, 4 * count)],
  };
}

function loadLevels(pairs: readonly V[], row: readonly V[], place: I32, byteOffset: number): Statement[] {
  const half = (v: number): V128 =>
    v % 2 === 0 ? i32x4.extendLowI16x8S(pairs[v >> 1]!) : i32x4.extendHighI16x8S(pairs[v >> 1]!);
  return [
    ...pairs.map((pair, i) => pair.set(i16x8.load8x8S(place, byteOffset + 8 * i))),
    ...row.map((x, v) => x.set(half(v))),
    ...row.map((x) => x.set(f32x4.convertI32x4S(x))),
  ];
}

/** Of a strip of q8_0: features that share scales, the bytes of their 16 scales, and all of their bytes. */
export const Q8_STRIP = { features: 32, scaleBytes: 2 * STRIP, bytes: 34 * STRIP } as const;

/** Where a strip's values begin of features 16 * tile and on, in bytes from its start. */
export function tileOffset(dtype: StripDType, tile: I): I32 {
  if (dtype !== 'q8_0') return i32.mul(tile, i32.const(STRIP * ROW_BYTES[dtype]));
  const half = i32.mul(i32.and(tile, i32.const(1)), i32.const(STRIP * STRIP));
  return i32.add(i32.add(scalesOffset(tile), i32.const(Q8_STRIP.scaleBytes)), half);
}

/** Where their scales are, of a strip of q8_0. */
export function scalesOffset(tile: I): I32 {
  return i32.mul(i32.shrU(tile, i32.const(1)), i32.const(Q8_STRIP.bytes));
}

/** The 16 scales at `address` as f32. */
export function loadScales(fn: FunctionBuilder, scales: readonly V[], address: I32): Statement[] {
  return [...scales.map((scale, i) => scale.set(i32x4.load16x4U(address, 8 * i))), ...widenHalves(fn, scales)];
}
