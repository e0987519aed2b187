/** accumulator += weight * v, for some keys of a section: the second product of attention. */
import type { I32, Local, Statement } from '../emitter/code.ts';
import { advance, branchIf, countDown, loop } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import type { Features } from './arithmetic.ts';
import { multiplyRows, VECTORS } from './attention-product.ts';
import { levelRows, loadScales, plainRows, Q8_STRIP, type RowReader, type StripDType } from './attention-rows.ts';
import {
  FACTOR_ROW_BYTES,
  FACTORS_OFFSET,
  LOG2_STRIP,
  RECORD_ACCUMULATOR,
  RECORD_BYTES,
  SCORE_ROW_BYTES,
  SMALL_GROUP,
  STEP_KEYS,
  STRIP,
  STRIP_ENTRY_BYTES,
  STRIP_VALUES,
  stripsOf,
} from './attention-scratch.ts';
import { forEachHead, HEAD_PARAMS, HOT_PARAMS, keepHot, newTile, type Tile } from './attention-tile.ts';
import { storeVectors } from './store-vectors.ts';

type I = Local<'i32'>;

/** (records, strips, scores, headDim, from, to, numHeads, headQueries, headBytes, hot, hotBytes) -> (): adds the weighted values
 * of keys `from` to `to` - 1 of the section, at least one. Few queries take all heads' values of a strip before the next
 * strip's, as they lie side by side; the sums of many stay in registers for all of a head's. */
export function attentionValues(dtype: StripDType, numQueries: number, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_values_${dtype}_${numQueries}`);
  const p = fn.params('records', 'strips', 'scores', 'headDim', 'from', 'to', ...HEAD_PARAMS, ...HOT_PARAMS);
  const [first, end, past] = fn.locals('i32', 3) as [I, I, I];
  const tile = newTile(fn, numQueries);
  const targets = fn.locals('i32', numQueries);
  const addValues = dtype === 'q8_0' ? addLevels : addNumbers(dtype);
  const keysAtOnce = numQueries <= SMALL_GROUP ? STRIP : STEP_KEYS;
  fn.emit(
    first.set(p.from),
    loop(
      ...toNext(past, first, keysAtOnce, p.to),
      end.set(past),
      ...forEachHead(fn, p, ({ turn, record, scores, offset }) => [
        keepHot(fn, dtype, p, turn),
        ...targets.map((target, i) => target.set(i32.load(record, i * RECORD_BYTES + RECORD_ACCUMULATOR))),
        ...addValues({ ...p, tile, targets, features, first, end, past, scores, offset }),
      ]),
      first.set(end),
      branchIf(0, i32.ltU(first, p.to)),
    ),
  );
  return fn;
}

/** `past` is the next multiple of `size`, a power of two, or `limit` where that comes first. */
const toNext = (past: I, at: I, size: number, limit: I): Statement[] => [
  past.set(i32.add(i32.and(at, i32.const(-size)), i32.const(size))),
  past.set(i32.select(limit, past, i32.ltU(limit, past))),
];

/** Keys `first` to `end` - 1 of a head, of one step. */
interface HeadValues
  extends Readonly<Record<'strips' | 'headDim' | 'first' | 'end' | 'past' | 'scores' | 'offset', I>> {
  readonly tile: Tile;
  /** Where each query's next 16 sums are. Moved on. */
  readonly targets: readonly I[];
  readonly features: Features;
}

/** 16 features after 16. */
function addNumbers(dtype: 'f32' | 'f16'): (head: HeadValues) => Statement[] {
  return (head) => {
    const { tile, headDim, features } = head;
    const [inStrip, left] = tile.fn.locals('i32', 2) as [I, I];
    const reader = plainRows(tile.fn, dtype, features);
    return [
      inStrip.set(i32.const(0)),
      left.set(stripsOf(headDim)),
      countDown(
        left,
        ...addTile(head, { reader, inStrip, weights: weightsOf(head), weightRowBytes: SCORE_ROW_BYTES }),
        advance(inStrip, STRIP * reader.rowBytes),
      ),
    ];
  };
}

/** 16 features after 16, of 32 that share scales. A key's scale is multiplied into its weights, which are few, and not into its
 * levels. */
function addLevels(head: HeadValues): Statement[] {
  const { tile, headDim, features, strips } = head;
  const [block, inStrip, blocks, left] = tile.fn.locals('i32', 4) as [I, I, I, I];
  const reader = levelRows(tile.fn, features);
  const factors = i32.add(strips, i32.const(FACTORS_OFFSET));
  const weights = i32.add(factors, i32.shl(i32.and(head.first, i32.const(STEP_KEYS - 1)), i32.const(2)));
  return [
    block.set(i32.const(0)),
    blocks.set(i32.shrU(headDim, i32.const(Math.log2(Q8_STRIP.features)))),
    countDown(
      blocks,
      ...scaleWeights(head, block, factors),
      inStrip.set(i32.add(block, i32.const(Q8_STRIP.scaleBytes))),
      left.set(i32.const(Q8_STRIP.features / STRIP)),
      countDown(
        left,
        ...addTile(head, { reader, inStrip, weights, weightRowBytes: FACTOR_ROW_BYTES }),
        advance(inStrip, STRIP * reader.rowBytes),
      ),
      advance(block, Q8_STRIP.bytes),
    ),
  ];
}

/** The first query's weight of the first key. */
const weightsOf = ({ scores, first }: HeadValues): I32 => i32.add(scores, i32.shl(first, i32.const(2)));

interface TileOfValues {
  readonly reader: RowReader;
  /** From a strip's start to the 16 features' rows. */
  readonly inStrip: I;
  /** The first query's weight of the first key; `weightRowBytes` to the next query's. */
  readonly weights: I32;
  readonly weightRowBytes: number;
}

/** Adds 16 features of all keys. */
function addTile(head: HeadValues, { reader, inStrip, weights, weightRowBytes }: TileOfValues): Statement[] {
  const { tile, targets, strips, first, end, past, offset } = head;
  const { fn, factors, sums, place } = tile;
  const [key, numRows] = fn.locals('i32', 2) as [I, I];
  const rowInStrip = i32.and(key, i32.const(STRIP - 1));
  return [
    ...factors.map((factor, i) => factor.set(i32.add(weights, i32.const(i * weightRowBytes)))),
    ...sums.flatMap((row, i) => row.map((sum, v) => sum.set(v128.load(targets[i]!, 16 * v)))),
    key.set(first),
    loop(
      ...toNext(past, key, STRIP, end),
      numRows.set(i32.sub(past, key)),
      place.set(i32.add(placeOf(strips, key, offset), inStrip)),
      advance(place, i32.mul(rowInStrip, i32.const(reader.rowBytes))),
      ...multiplyRows({ ...tile, reader, numRows }),
      key.set(past),
      branchIf(0, i32.ltU(key, end)),
    ),
    ...sums.flatMap((row, i) => storeVectors(targets[i]!, row)),
    ...targets.map((target) => advance(target, STRIP * 4)),
  ];
}

/** The head's values of the strip that holds a key. */
function placeOf(strips: I, key: I, offset: I): I32 {
  const entry = i32.add(strips, i32.mul(i32.shrU(key, i32.const(LOG2_STRIP)), i32.const(STRIP_ENTRY_BYTES)));
  return i32.add(i32.load(entry, STRIP_VALUES), offset);
}

/** Factors of whole strips: weights times the keys' scales of the block of features that begins at `block`. */
function scaleWeights({ tile, strips, first, end, scores, offset }: HeadValues, block: I, factors: I32): Statement[] {
  const { fn, sums } = tile;
  const [key, weights, scaled] = fn.locals('i32', 3) as [I, I, I];
  const scales = fn.locals('v128', VECTORS);
  const scaleRow = (row: readonly Local<'v128'>[], query: number): Statement[] => [
    ...row.map((x, v) => x.set(f32x4.mul(v128.load(weights, query * SCORE_ROW_BYTES + 16 * v), scales[v]!))),
    ...storeVectors(scaled, row, query * FACTOR_ROW_BYTES),
  ];
  return [
    key.set(i32.and(first, i32.const(-STRIP))),
    loop(
      ...loadScales(fn, scales, i32.add(placeOf(strips, key, offset), block)),
      weights.set(i32.add(scores, i32.shl(key, i32.const(2)))),
      scaled.set(i32.add(factors, i32.shl(i32.and(key, i32.const(STEP_KEYS - 1)), i32.const(2)))),
      ...sums.flatMap(scaleRow),
      advance(key, STRIP),
      branchIf(0, i32.ltU(key, end)),
    ),
  ];
}
