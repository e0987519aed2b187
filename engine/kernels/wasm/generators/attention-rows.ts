/** How rows of 16 numbers are read from strips of keys and of values (ops/kv-pages.ts draws them), and multiplied.
 *
 *   f32     as they are
 *   f16     as f32, 2^-112 of the value, exactly, because that takes three instructions less (half-floats.ts). What it is
 *           multiplied with makes up for it: see SCALING
 *   q8_0    levels as 16-bit numbers, two features of a key or two keys of a feature at a time, times queries, or weights, that
 *           were rounded to 16 bits: whole numbers */
import type { I32, Local, Statement, V128 } from '../emitter/code.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { type Features, multiplyAdd } from './arithmetic.ts';
import { STRIP } from './attention-scratch.ts';
import { HALF_PRESCALE, shrinkFiniteHalves, shrinkHalves, widenHalves } from './half-floats.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

export type StripDType = 'f32' | 'f16' | 'q8_0';

/** Powers of two that queries and weights carry, and what scores are multiplied by in the end. A weight is at most 1, so all
 * of 2^112 fits; a query might overflow, so it carries half, and may be as large as 2^63. Rounded queries' scales carry what
 * those of activations carry. */
export const SCALING: Readonly<
  Record<StripDType, { readonly query: number; readonly score: number; readonly weight: number }>
> = {
  f32: { query: 1, score: 1, weight: 1 },
  f16: { query: 2 ** 64, score: 2 ** 48, weight: 2 ** 112 },
  q8_0: { query: HALF_PRESCALE, score: 1 / HALF_PRESCALE, weight: 1 },
};

export interface RowReader {
  /** From one row to the next. */
  readonly rowBytes: number;
  /** Fills `row`, four vectors, with the row that is `i` rows after `place`. */
  load(row: readonly V[], place: I, i: number): Statement[];
  /** `sum` and the product of a vector of the row with `factor`, the same 32 bits in all lanes. */
  multiplyAdd(vector: V, factor: V, sum: V): V128;
}

/** Rows of numbers without scales. Of f16, only finite numbers. */
export function plainRows(fn: FunctionBuilder, dtype: 'f32' | 'f16', features: Features): RowReader {
  if (dtype === 'f16') return halfRows(features, (row) => shrinkFiniteHalves(fn, row));
  return floatRows(features, 4 * STRIP, (row, place, i) =>
    row.map((x, v) => x.set(v128.load(place, 4 * STRIP * i + 16 * v))),
  );
}

/** Rows of f16: infinities and NaN too. */
export function anyHalfRows(fn: FunctionBuilder, features: Features): RowReader {
  return halfRows(features, (row) => shrinkHalves(fn, row));
}

function halfRows(features: Features, shrink: (row: readonly V[]) => Statement[]): RowReader {
  return floatRows(features, 2 * STRIP, (row, place, i) => [
    ...row.map((x, v) => x.set(i32x4.load16x4S(place, 2 * STRIP * i + 8 * v))),
    ...shrink(row),
  ]);
}

function floatRows(features: Features, rowBytes: number, load: RowReader['load']): RowReader {
  return { rowBytes, load, multiplyAdd: (vector, factor, sum) => multiplyAdd(features, vector, factor, sum) };
}

/** Rows of 16 pairs of levels of q8_0, as 16-bit numbers; factors are pairs of those, and sums whole numbers. Of 32 products a
 * sum is at most 2^27, even if a page holds levels of -128, which writeKv never stores. */
export function levelPairRows(): RowReader {
  return {
    rowBytes: 2 * STRIP,
    load: (row, place, i) => row.map((x, v) => x.set(i16x8.load8x8S(place, 2 * STRIP * i + 8 * v))),
    multiplyAdd: (vector, factor, sum) => i32x4.add(sum, i32x4.dotI16x8S(vector, factor)),
  };
}

/** Of a strip of q8_0: features that share scales, the bytes of their 16 scales, and all of their bytes. */
export const Q8_STRIP = { features: 32, scaleBytes: 2 * STRIP, bytes: 34 * STRIP } as const;

/** How many times so many features there are. */
export function blocksOf(headDim: I): I32 {
  return i32.shrU(headDim, i32.const(Math.log2(Q8_STRIP.features)));
}

/** Of one of a block's 32 features, from the first's level of a key to its own, in a strip of values. */
export function placeOfLevel(feature: number): number {
  return Math.floor(feature / STRIP) * STRIP * STRIP + (feature % STRIP) * 2;
}

/** Of one of 16 keys, from the first's level of a feature to its own, in a strip of values. Keys 4 to 7 and 8 to 11 have changed
 * places, as they do where two 256-bit vectors of numbers are narrowed to one of half as wide ones: halves for themselves. */
export function placeOfKey(key: number): number {
  const place = (key & 3) | ((key & 4) << 1) | ((key & 8) >> 1);
  return Math.floor(place / 2) * 2 * STRIP + (place % 2);
}

/** Of 32 features of a query that was rounded for keys of q8_0: its levels, of 16 bits, and their scale. */
export const QUERY_BLOCK = { scaleOffset: 2 * Q8_STRIP.features, bytes: 2 * Q8_STRIP.features + 4 } as const;

/** The 16 scales at `address` as f32. */
export function loadScales(fn: FunctionBuilder, scales: readonly V[], address: I32): Statement[] {
  return [...scales.map((scale, i) => scale.set(i32x4.load16x4U(address, 8 * i))), ...widenHalves(fn, scales)];
}
