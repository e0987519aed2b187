/** accumulator += weight * v, for some keys of a section: the second product of attention. */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, branchIf, countDown, loop } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { v128 } from '../emitter/simd.ts';
import type { Features } from './arithmetic.ts';
import { addLevels } from './attention-level-values.ts';
import { multiplyRows } from './attention-product.ts';
import { plainRows, type RowReader, type StripDType } from './attention-rows.ts';
import {
  RECORD_ACCUMULATOR,
  RECORD_BYTES,
  SCORE_ROW_BYTES,
  SMALL_GROUP,
  STEP_KEYS,
  STRIP,
  stripsOf,
} from './attention-scratch.ts';
import { forEachHead, HEAD_PARAMS, newTile } from './attention-tile.ts';
import { type HeadValues, placeOfValues } from './head-values.ts';
import { storeVectors } from './store-vectors.ts';

type I = Local<'i32'>;

/** (records, strips, scores, headDim, from, to, numHeads, headQueries, headBytes) -> (): adds the weighted values of keys `from`
 * to `to` - 1 of the section, at least one. Few queries take all heads' values of a strip before the next strip's, as they lie
 * side by side; the sums of many stay in registers for all of a head's, but not those of q8_0, which are whole numbers. */
export function attentionValues(dtype: StripDType, numQueries: number, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_values_${dtype}_${numQueries}`);
  const p = fn.params('records', 'strips', 'scores', 'headDim', 'from', 'to', ...HEAD_PARAMS);
  const [first, end, past] = fn.locals('i32', 3) as [I, I, I];
  const tile = newTile(fn, numQueries);
  const targets = fn.locals('i32', numQueries);
  const addValues = dtype === 'q8_0' ? addLevels : addNumbers(dtype);
  const keysAtOnce = dtype === 'q8_0' || numQueries <= SMALL_GROUP ? STRIP : STEP_KEYS;
  fn.emit(
    first.set(p.from),
    loop(
      ...toNext(past, first, keysAtOnce, p.to),
      end.set(past),
      ...forEachHead(fn, p, ({ record, scores, offset }) => [
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

/** 16 features after 16. */
function addNumbers(dtype: 'f32' | 'f16'): (head: HeadValues) => Statement[] {
  return (head) => {
    const { fn } = head.tile;
    const [inStrip, left] = fn.locals('i32', 2) as [I, I];
    const reader = plainRows(fn, dtype, head.features);
    return [
      inStrip.set(i32.const(0)),
      left.set(stripsOf(head.headDim)),
      countDown(left, ...addTile(head, reader, inStrip), advance(inStrip, STRIP * reader.rowBytes)),
    ];
  };
}

/** Adds 16 features of all keys.
 * @param inStrip  from a strip's start to their rows */
function addTile(head: HeadValues, reader: RowReader, inStrip: I): Statement[] {
  const { tile, targets, first, end, past, scores } = head;
  const { fn, factors, sums, place } = tile;
  const [key, numRows] = fn.locals('i32', 2) as [I, I];
  const weights = i32.add(scores, i32.shl(first, i32.const(2)));
  const rowInStrip = i32.and(key, i32.const(STRIP - 1));
  return [
    ...factors.map((factor, i) => factor.set(i32.add(weights, i32.const(i * SCORE_ROW_BYTES)))),
    ...sums.flatMap((row, i) => row.map((sum, v) => sum.set(v128.load(targets[i]!, 16 * v)))),
    key.set(first),
    loop(
      ...toNext(past, key, STRIP, end),
      numRows.set(i32.sub(past, key)),
      place.set(i32.add(placeOfValues(head, key), inStrip)),
      advance(place, i32.mul(rowInStrip, i32.const(reader.rowBytes))),
      ...multiplyRows({ ...tile, reader, numRows }),
      key.set(past),
      branchIf(0, i32.ltU(key, end)),
    ),
    ...sums.flatMap((row, i) => storeVectors(targets[i]!, row)),
    ...targets.map((target) => advance(target, STRIP * 4)),
  ];
}
