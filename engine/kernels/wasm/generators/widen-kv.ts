/** Keys and values of a page as f32 in scratch memory: for queries so many that each number is widened once for all of
 * them, for pages in which they lie in rows, and for those that may hold an f16 that is not finite. */
import type { I32, Local, Statement } from '../emitter/code.ts';
import { advance, countDown, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import {
  anyHalfRows,
  levelsWithLaneScales,
  levelsWithRowScale,
  loadScales,
  Q8_STRIP,
  type RowReader,
} from './attention-rows.ts';
import { STRIP, STRIP_ROW_BYTES } from './attention-scratch.ts';
import type { RowFormat } from './row-formats.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

/** (source, target, headDim, count, sourceBytes, targetBytes) -> (): `count` rows, the given bytes apart. */
export function widenRows(format: RowFormat): FunctionBuilder {
  const fn = new FunctionBuilder(`widen_rows_${format.dtype}`);
  const { source, target, headDim, count, sourceBytes, targetBytes } = fn.params(
    'source',
    'target',
    'headDim',
    'count',
    'sourceBytes',
    'targetBytes',
  );
  const [row, at, rounds] = fn.locals('i32', 3) as [I, I, I];
  const scale = fn.local('v128');
  const four = fn.locals('v128', STRIP / 4);
  const features = Math.max(STRIP, format.blockElements);
  const sixteen = (first: number): Statement[] => [
    ...format.load(
      fn,
      four.map((into, i) => ({ into, row, four: first / 4 + i, scale })),
    ),
    ...four.map((vector, i) => v128.store(at, vector, 4 * first + 16 * i)),
  ];
  fn.emit(
    countDown(
      count,
      row.set(source),
      at.set(target),
      rounds.set(i32.shrU(headDim, i32.const(Math.log2(features)))),
      countDownFromAny(
        rounds,
        ...format.loadScale(fn, row, scale),
        ...Array.from({ length: features / STRIP }, (_, i) => sixteen(STRIP * i)).flat(),
        advance(row, (features / format.blockElements) * format.bytesPerBlock),
        advance(at, 4 * features),
      ),
      ...rest(format, { fn, headDim, rounds, row, at, into: four[0]! }),
      advance(source, sourceBytes),
      advance(target, targetBytes),
    ),
  );
  return fn;
}

/** The features that are left after sixteens, one by one. */
function rest(
  format: RowFormat,
  loop: { readonly fn: FunctionBuilder; readonly headDim: I32 } & Readonly<Record<'rounds' | 'row' | 'at', I>> & {
      readonly into: V;
    },
): Statement[] {
  const { fn, headDim, rounds, row, at, into } = loop;
  if (format.loadOne === undefined) return [];
  return [
    rounds.set(i32.and(headDim, i32.const(STRIP - 1))),
    countDownFromAny(
      rounds,
      ...format.loadOne(fn, row, into),
      f32.store(at, f32x4.extractLane(into, 0)),
      advance(row, format.bytesPerBlock),
      advance(at, 4),
    ),
  ];
}

/** (source, target, headDim) -> (): a strip of f16, of keys or of values: 16 numbers after 16, 2^-112 of each. */
export function widenStripF16(): FunctionBuilder {
  const fn = new FunctionBuilder('widen_strip_f16');
  const { source, target, headDim } = fn.params('source', 'target', 'headDim');
  fn.emit(...copyStripRows(fn, anyHalfRows(fn), { source, target, count: headDim }));
  return fn;
}

/** (source, target, headDim) -> (): a strip of keys whose every 32 features are 16 scales, then [32][16] levels. */
export function widenKeysQ8(): FunctionBuilder {
  const fn = new FunctionBuilder('widen_keys_q8_0');
  const { source, target, headDim } = fn.params('source', 'target', 'headDim');
  const [blocks, count] = fn.locals('i32', 2) as [I, I];
  const scales = fn.locals('v128', 4);
  fn.emit(
    blocks.set(i32.shrU(headDim, i32.const(Math.log2(Q8_STRIP.features)))),
    countDown(
      blocks,
      ...loadScales(fn, scales, source),
      advance(source, Q8_STRIP.scaleBytes),
      count.set(i32.const(Q8_STRIP.features)),
      ...copyStripRows(fn, levelsWithLaneScales(fn, scales), { source, target, count }),
    ),
  );
  return fn;
}

/** (source, target, headDim, spread) -> (): a strip of values whose every 32 features are 16 scales, then two times
 * [16][16] levels. `spread`: room for the scales as f32. */
export function widenValuesQ8(): FunctionBuilder {
  const fn = new FunctionBuilder('widen_values_q8_0');
  const { source, target, headDim, spread } = fn.params('source', 'target', 'headDim', 'spread');
  const [blocks, count, scale] = fn.locals('i32', 3) as [I, I, I];
  const scales = fn.locals('v128', 4);
  const reader = levelsWithRowScale(fn, scale);
  const halfOfFeatures: Statement[] = [
    count.set(i32.const(STRIP)),
    scale.set(spread),
    ...copyStripRows(fn, reader, { source, target, count }),
  ];
  fn.emit(
    blocks.set(i32.shrU(headDim, i32.const(Math.log2(Q8_STRIP.features)))),
    countDown(
      blocks,
      ...loadScales(fn, scales, source),
      ...scales.map((four, i) => v128.store(spread, four, 16 * i)),
      advance(source, Q8_STRIP.scaleBytes),
      ...halfOfFeatures,
      ...halfOfFeatures,
    ),
  );
  return fn;
}

/** `count` rows, at least one; all three moved on. */
function copyStripRows(
  fn: FunctionBuilder,
  reader: RowReader,
  { source, target, count }: Readonly<Record<'source' | 'target' | 'count', I>>,
): Statement[] {
  const row = fn.locals('v128', 4);
  return [
    countDown(
      count,
      ...reader.load(row, source, 0),
      ...row.map((vector, i) => v128.store(target, vector, 16 * i)),
      advance(source, reader.rowBytes),
      advance(target, STRIP_ROW_BYTES),
      ...reader.advance(1),
    ),
  ];
}
