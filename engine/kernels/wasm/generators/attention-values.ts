/** accumulator += weight * v, for some keys of a section: the second product of attention. */
import type { I32, Local, Statement } from '../emitter/code.ts';
import { advance, branchIf, countDown, loop } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { v128 } from '../emitter/simd.ts';
import type { Features } from './arithmetic.ts';
import { multiplyRows, VECTORS } from './attention-product.ts';
import {
  levelsWithRowScale,
  loadScales,
  plainRows,
  type RowReader,
  type StripDType,
  scalesOffset,
  tileOffset,
} from './attention-rows.ts';
import {
  LOG2_STRIP,
  RECORD_ACCUMULATOR,
  RECORD_BYTES,
  SCALES_OFFSET,
  SCORE_ROW_BYTES,
  SMALL_GROUP,
  STEP_KEYS,
  STRIP,
  STRIP_ENTRY_BYTES,
  STRIP_VALUES,
  stripsOf,
} from './attention-scratch.ts';
import { forEachHead, HEAD_PARAMS, HOT_PARAMS, keepHot, newTile, type Tile } from './attention-tile.ts';

type I = Local<'i32'>;

/** (records, strips, scores, headDim, from, to, numHeads, headQueries, headBytes, hot, hotBytes) -> (): adds the weighted values
 * of keys `from` to `to` - 1 of the section, at least one. Few queries take all heads' values of a strip before the next
 * strip's, as they lie side by side; the sums of many stay in registers for all of a head's. */
export function attentionValues(dtype: StripDType, numQueries: number, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_values_${dtype}_${numQueries}`);
  const p = fn.params('records', 'strips', 'scores', 'headDim', 'from', 'to', ...HEAD_PARAMS, ...HOT_PARAMS);
  const [first, end, key, past, tileIndex, left] = fn.locals('i32', 6) as [I, I, I, I, I, I];
  const tile = newTile(fn, numQueries, features);
  const targets = fn.locals('i32', numQueries);
  const multiplyValues = valueProduct(tile, dtype, p.strips);
  const keysAtOnce = numQueries <= SMALL_GROUP ? STRIP : STEP_KEYS;
  /** `past` is the next multiple of `size`, a power of two, or `limit` where that comes first. */
  const toNext = (at: I, size: number, limit: I): Statement[] => [
    past.set(i32.add(i32.and(at, i32.const(-size)), i32.const(size))),
    past.set(i32.select(limit, past, i32.ltU(limit, past))),
  ];

  const addTile = (scores: I, offset: I): Statement[] => {
    const firstWeights = i32.add(scores, i32.shl(first, i32.const(2)));
    return [
      ...tile.factors.map((factor, i) => factor.set(i32.add(firstWeights, i32.const(i * SCORE_ROW_BYTES)))),
      ...tile.sums.flatMap((row, i) => row.map((sum, v) => sum.set(v128.load(targets[i]!, 16 * v)))),
      key.set(first),
      loop(
        ...toNext(key, STRIP, end),
        ...multiplyValues({ key, past, tileIndex, offset }),
        key.set(past),
        branchIf(0, i32.ltU(key, end)),
      ),
      ...tile.sums.flatMap((row, i) => row.map((sum, v) => v128.store(targets[i]!, sum, 16 * v))),
      ...targets.map((target) => advance(target, STRIP * 4)),
      advance(tileIndex, 1),
    ];
  };
  fn.emit(
    first.set(p.from),
    loop(
      ...toNext(first, keysAtOnce, p.to),
      end.set(past),
      ...forEachHead(fn, p, ({ turn, record, scores, offset }) => [
        keepHot(fn, dtype, p, turn),
        ...targets.map((target, i) => target.set(i32.load(record, i * RECORD_BYTES + RECORD_ACCUMULATOR))),
        tileIndex.set(i32.const(0)),
        left.set(stripsOf(p.headDim)),
        countDown(left, ...addTile(scores, offset)),
      ]),
      first.set(end),
      branchIf(0, i32.ltU(first, p.to)),
    ),
  );
  return fn;
}

/** Of the strip that holds a key of the step. */
function stripEntry(strips: I, key: I): I32 {
  return i32.add(strips, i32.mul(i32.shrU(key, i32.const(LOG2_STRIP)), i32.const(STRIP_ENTRY_BYTES)));
}

/** Keys `key` to `past` - 1, of one strip; features from 16 * `tileIndex` on; the head's `offset`. */
type ValueRange = Readonly<Record<'key' | 'past' | 'tileIndex' | 'offset', I>>;

type ValueProduct = (range: ValueRange) => Statement[];

function valueProduct(
  { fn, features, factors, sums, place, locals }: Tile,
  dtype: StripDType,
  strips: I,
): ValueProduct {
  const [base, numRows, scale] = fn.locals('i32', 3) as [I, I, I];
  const scales = fn.locals('v128', VECTORS);
  const reader: RowReader = dtype === 'q8_0' ? levelsWithRowScale(fn, scale) : plainRows(fn, dtype);
  const scalesAt = (lane: number) => SCALES_OFFSET + 16 * lane;
  return ({ key, past, tileIndex, offset }) => {
    const rowInStrip = i32.and(key, i32.const(STRIP - 1));
    const inTile = i32.add(tileOffset(dtype, tileIndex), i32.mul(rowInStrip, i32.const(reader.rowBytes)));
    const spreadScales: Statement[] = [
      ...loadScales(fn, scales, i32.add(base, scalesOffset(tileIndex))),
      ...scales.map((four, i) => v128.store(strips, four, scalesAt(i))),
      scale.set(i32.add(i32.add(strips, i32.const(SCALES_OFFSET)), i32.shl(rowInStrip, i32.const(2)))),
    ];
    return [
      base.set(i32.add(i32.load(stripEntry(strips, key), STRIP_VALUES), offset)),
      ...(dtype === 'q8_0' ? spreadScales : []),
      place.set(i32.add(base, inTile)),
      numRows.set(i32.sub(past, key)),
      ...multiplyRows({ features, locals, reader, sums, factors, place, numRows }),
    ];
  };
}
