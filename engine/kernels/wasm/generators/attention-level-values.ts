/** accumulator += weight * v for values of q8_0: 16 keys, and 32 features that share their scales, at a time.
 *
 *   factor = weight * the key's scale                       as whole numbers of 16 bits: level = round(factor / unit),
 *   sum    = over the 16 keys, of factor level * level      unit = largest |factor| of the 16 / 32767
 *   accumulator += sum * unit
 *
 * Rounding a factor costs at most 2^-16 of the largest of its 16, where the levels of values have cost 2^-8 of theirs. Keys that
 * the queries do not see get the factor 0, whatever their scales are. A factor that is no number, or infinite, makes the unit
 * NaN, and through it all that the block adds to. No factor is below 0: weights are not, nor is any scale that writeKv stores.
 * Pages from a forged file may hold others: what comes of them is wrong, as it is of all that such a file says. */
import type { I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance, countDown, when } from '../emitter/control.ts';
import { i32 } from '../emitter/scalar.ts';
import { f32x4, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { multiplyAdd } from './arithmetic.ts';
import { multiplyRows, VECTORS } from './attention-product.ts';
import { blocksOf, levelPairRows, loadScales, Q8_STRIP } from './attention-rows.ts';
import {
  FACTOR_INVERSE,
  FACTOR_ROW_BYTES,
  FACTOR_UNIT,
  FACTORS_OFFSET,
  SCORE_ROW_BYTES,
  STRIP,
} from './attention-scratch.ts';
import { clearSums } from './attention-tile.ts';
import { type HeadValues, placeOfValues } from './head-values.ts';
import { largestOfLanes, toWholeNumbers } from './pack-activations.ts';
import { storeVectors } from './store-vectors.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

const LARGEST_LEVEL = 32767;
/** Below every factor that matters, and not so small that its inverse is infinite. */
const LEAST_FACTOR = 2 ** -100;

/** Keys of one strip. */
export function addLevels(head: HeadValues): Statement[] {
  const { tile, targets, headDim, features, strips, first } = head;
  const { fn, factors, sums, place } = tile;
  const [numRows, blocks, left, rows] = fn.locals('i32', 4) as [I, I, I, I];
  const units = fn.local('v128');
  const scales = fn.locals('v128', VECTORS);
  const addTo = (target: I, row: readonly V[], query: number): Statement[] => [
    units.set(v128.load(rows, query * FACTOR_ROW_BYTES + FACTOR_UNIT)),
    ...row.map((sum, v) => sum.set(multiplyAdd(features, f32x4.convertI32x4S(sum), units, v128.load(target, 16 * v)))),
    ...storeVectors(target, row),
    advance(target, STRIP * 4),
  ];
  return [
    rows.set(i32.add(strips, i32.const(FACTORS_OFFSET))),
    numRows.set(i32.const(STRIP / 2)),
    place.set(placeOfValues(head, first)),
    blocks.set(blocksOf(headDim)),
    countDown(
      blocks,
      ...loadScales(fn, scales, place),
      ...hideUnseen(head, scales),
      ...sums.flatMap((row, query) => quantizeFactors(head, row, scales, { query, rows })),
      advance(place, Q8_STRIP.scaleBytes),
      left.set(i32.const(Q8_STRIP.features / STRIP)),
      countDown(
        left,
        ...factors.map((factor, query) => factor.set(i32.add(rows, i32.const(query * FACTOR_ROW_BYTES)))),
        ...clearSums(tile),
        ...multiplyRows({ ...tile, reader: levelPairRows(), numRows }),
        ...sums.flatMap((row, query) => addTo(targets[query]!, row, query)),
      ),
    ),
  ];
}

/** Scales of keys that are not seen become 0. */
function hideUnseen({ tile, first, end }: HeadValues, scales: readonly V[]): Statement[] {
  const { fn } = tile;
  const [before, past] = fn.locals('v128', 2) as [V, V];
  const inStrip = (key: I32): V128 => i32x4.splatOf(i32.sub(key, i32.and(first, i32.const(-STRIP))));
  const lanes = (v: number): V128 => i32x4.lanes(4 * v, 4 * v + 1, 4 * v + 2, 4 * v + 3);
  return [
    when(
      i32.ltU(i32.sub(end, first), i32.const(STRIP)),
      before.set(inStrip(i32.sub(first, i32.const(1)))),
      past.set(inStrip(end)),
      ...scales.map((four, v) =>
        four.set(v128.and(four, v128.and(i32x4.gtS(lanes(v), before), i32x4.gtS(past, lanes(v))))),
      ),
    ),
  ];
}

/** A query's factors as levels to its row, and their unit, in four lanes, behind them. The inverse of the unit goes by way of
 * memory: V8 makes 256-bit instructions of what leads to two stores, as long as nothing else needs its halves. */
function quantizeFactors(
  { tile, scores, first }: HeadValues,
  four: readonly V[],
  scales: readonly V[],
  { query, rows }: { readonly query: number; readonly rows: I },
): Statement[] {
  const { fn } = tile;
  const [largest, inverse] = fn.locals('v128', 2) as [V, V];
  const weights = i32.add(scores, i32.shl(i32.and(first, i32.const(-STRIP)), i32.const(2)));
  const row = query * FACTOR_ROW_BYTES;
  const factor = (v: number): V128 => f32x4.mul(v128.load(weights, query * SCORE_ROW_BYTES + 16 * v), scales[v]!);
  return [
    largest.set(fn.constant(f32x4.constant(LEAST_FACTOR))),
    ...scales.map((_, v) => largest.set(i32x4.maxU(largest, factor(v)))),
    ...largestOfLanes(largest),
    v128.store(rows, f32x4.div(fn.constant(f32x4.constant(LARGEST_LEVEL)), largest), row + FACTOR_INVERSE),
    // Infinity minus itself is NaN.
    v128.store(
      rows,
      f32x4.add(f32x4.mul(largest, fn.constant(f32x4.constant(1 / LARGEST_LEVEL))), f32x4.sub(largest, largest)),
      row + FACTOR_UNIT,
    ),
    inverse.set(v128.load32Splat(rows, row + FACTOR_INVERSE)),
    ...four.map((x, v) => x.set(toWholeNumbers(fn, f32x4.mul(factor(v), inverse)))),
    ...storeVectors(rows, [i16x8.narrowI32x4S(four[0]!, four[2]!), i16x8.narrowI32x4S(four[1]!, four[3]!)], row),
  ];
}
