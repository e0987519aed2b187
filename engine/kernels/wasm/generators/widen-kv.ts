/** Keys and values of a page as f32 in scratch memory, for pages in which they do not lie as attention reads them.
 * Queries that meet the same keys share this work. */
import type { I32, Local, Statement } from '../emitter/code.ts';
import { advance, countDown, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { STRIP, STRIP_ROW_BYTES } from './attention-scratch.ts';
import { widenHalves } from './half-floats.ts';
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

const QUARTERS = [0, 1, 2, 3];

/** (source, target, headDim) -> (): a strip of keys, [D][16] f16. */
export function widenStripF16(): FunctionBuilder {
  const fn = new FunctionBuilder('widen_strip_f16');
  const { source, target, headDim } = fn.params('source', 'target', 'headDim');
  const four = fn.locals('v128', 4);
  fn.emit(
    countDown(
      headDim,
      ...four.map((vector, i) => vector.set(i32x4.load16x4U(source, 8 * i))),
      ...widenHalves(fn, four),
      ...four.map((vector, i) => v128.store(target, vector, 16 * i)),
      advance(source, 2 * STRIP),
      advance(target, STRIP_ROW_BYTES),
    ),
  );
  return fn;
}

/** (source, target, headDim) -> (): a strip of keys whose every 32 features are 16 f16 scales, then [32][16] levels. */
export function widenStripQ8(): FunctionBuilder {
  const fn = new FunctionBuilder('widen_strip_q8_0');
  const { source, target, headDim } = fn.params('source', 'target', 'headDim');
  const [blocks, rounds] = fn.locals('i32', 2) as [I, I];
  const scales = fn.locals('v128', 4);
  const pairs = fn.locals('v128', 2);
  const four = fn.locals('v128', 4);
  fn.emit(
    blocks.set(i32.shrU(headDim, i32.const(5))),
    countDown(
      blocks,
      ...scales.map((scale, i) => scale.set(i32x4.load16x4U(source, 8 * i))),
      ...widenHalves(fn, scales),
      advance(source, 2 * STRIP),
      rounds.set(i32.const(32)),
      countDown(
        rounds,
        ...pairs.map((pair, i) => pair.set(i16x8.load8x8S(source, 8 * i))),
        ...QUARTERS.map((i) =>
          four[i]!.set(i % 2 === 0 ? i32x4.extendLowI16x8S(pairs[i >> 1]!) : i32x4.extendHighI16x8S(pairs[i >> 1]!)),
        ),
        ...four.map((vector, i) => vector.set(f32x4.mul(f32x4.convertI32x4S(vector), scales[i]!))),
        ...four.map((vector, i) => v128.store(target, vector, 16 * i)),
        advance(source, STRIP),
        advance(target, STRIP_ROW_BYTES),
      ),
    ),
  );
  return fn;
}
