/** Keys and values of a page as f32 in scratch memory: those of f16 for queries so many that each number is widened once for
 * all of them, or where one may not be finite, and those of f16 and f32 that lie in rows (of q8_0: lay-levels.ts). Other
 * vectors that are widened go through `widenRows`, too. */
import type { I32, Local, Statement } from '../emitter/code.ts';
import { advance, countDown, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4 } from '../emitter/simd.ts';
import type { Features } from './arithmetic.ts';
import { anyHalfRows } from './attention-rows.ts';
import { STRIP, STRIP_ROW_BYTES } from './attention-scratch.ts';
import type { RowFormat } from './row-formats.ts';
import { storeVectors } from './store-vectors.ts';

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
    ...storeVectors(at, four, 4 * first),
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
export function widenStripF16(features: Features): FunctionBuilder {
  const fn = new FunctionBuilder('widen_strip_f16');
  const { source, target, headDim } = fn.params('source', 'target', 'headDim');
  const reader = anyHalfRows(fn, features);
  const row = fn.locals('v128', STRIP / 4);
  fn.emit(
    countDown(
      headDim,
      ...reader.load(row, source, 0),
      ...storeVectors(target, row),
      advance(source, reader.rowBytes),
      advance(target, STRIP_ROW_BYTES),
    ),
  );
  return fn;
}
