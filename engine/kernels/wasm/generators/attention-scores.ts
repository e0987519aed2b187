/** scores = q . k * scale, for some keys of a section: the first product of attention. */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, countDown } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import type { Features } from './arithmetic.ts';
import { multiplyRows, VECTORS } from './attention-product.ts';
import { levelsWithLaneScales, loadScales, plainRows, Q8_STRIP, type StripDType } from './attention-rows.ts';
import {
  LOG2_STRIP,
  RECORD_BYTES,
  SCORE_ROW_BYTES,
  STRIP,
  STRIP_ENTRY_BYTES,
  stripRange,
} from './attention-scratch.ts';
import { forEachHead, HEAD_PARAMS, HOT_PARAMS, keepHot, newTile, type Tile } from './attention-tile.ts';

type I = Local<'i32'>;

/** (records, strips, scores, headDim, from, to, numHeads, headQueries, headBytes, hot, hotBytes, scale f32) -> (): scores of
 * keys `from` to `to` - 1 of the section, at least one, filled up to whole
 * strips. Strip by strip, and of each all heads: they lie side by side. */
export function attentionScores(dtype: StripDType, numQueries: number, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_scores_${dtype}_${numQueries}`);
  const p = fn.params('records', 'strips', 'scores', 'headDim', 'from', 'to', ...HEAD_PARAMS, ...HOT_PARAMS);
  const scale = fn.param('f32');
  const tile = newTile(fn, numQueries, features);
  const [entry, column, left] = fn.locals('i32', 3) as [I, I, I];
  const scales = fn.local('v128');
  const range = stripRange(fn, p);
  const sums = tile.sums.flat();
  const multiplyKeys = keyProduct(tile, dtype, p.headDim);
  const zero = fn.constant(f32x4.constant(0));

  fn.emit(
    ...range.code,
    scales.set(f32x4.splat(scale)),
    column.set(i32.add(p.scores, i32.shl(range.start, i32.const(2)))),
    left.set(i32.shrU(range.start, i32.const(LOG2_STRIP))),
    entry.set(i32.add(p.strips, i32.mul(left, i32.const(STRIP_ENTRY_BYTES)))),
    left.set(i32.sub(i32.shrU(range.end, i32.const(LOG2_STRIP)), left)),
    countDown(
      left,
      ...forEachHead(fn, { ...p, scores: column }, ({ turn, record, scores, offset }) => [
        keepHot(fn, dtype, p, turn),
        tile.place.set(i32.add(i32.load(entry), offset)),
        ...tile.factors.map((factor, i) => factor.set(i32.load(record, i * RECORD_BYTES))),
        ...sums.map((sum) => sum.set(zero)),
        ...multiplyKeys,
        ...sums.map((sum) => sum.set(f32x4.mul(sum, scales))),
        ...tile.sums.flatMap((row, i) => row.map((sum, v) => v128.store(scores, sum, i * SCORE_ROW_BYTES + 16 * v))),
      ]),
      advance(entry, STRIP_ENTRY_BYTES),
      advance(column, STRIP * 4),
    ),
  );
  return fn;
}

/** Over all features of the tile's strip. */
function keyProduct({ fn, features, factors, sums, place, locals }: Tile, dtype: StripDType, headDim: I): Statement[] {
  if (dtype !== 'q8_0') {
    const reader = plainRows(fn, dtype);
    return multiplyRows({ features, locals, reader, sums, factors, place, numRows: headDim });
  }
  const [numRows, blocks] = fn.locals('i32', 2) as [I, I];
  const scales = fn.locals('v128', VECTORS);
  const reader = levelsWithLaneScales(fn, scales);
  return [
    numRows.set(i32.const(Q8_STRIP.features)),
    blocks.set(i32.shrU(headDim, i32.const(Math.log2(Q8_STRIP.features)))),
    countDown(
      blocks,
      ...loadScales(fn, scales, place),
      advance(place, Q8_STRIP.scaleBytes),
      ...multiplyRows({ features, locals, reader, sums, factors, place, numRows }),
    ),
  ];
}
