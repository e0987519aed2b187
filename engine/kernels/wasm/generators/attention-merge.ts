/** What a query has met of a section of keys, joined with what it had met before, and the end of it.
 *
 *   new max = max(both)       a = e^(old max - new max)       b = e^(section's max - new max)
 *   sum     = sum * a + section's sum * b                     accumulator = accumulator * a + section's * b
 *
 * A state whose sum of weights is 0 has met nothing, as no weight is 0: joining it changes nothing, not even the sign of
 * a zero, and whatever is joined to it replaces it.
 * Source  Dao 2023, "Flash-Decoding" */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, countDown, when } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { exponential, type Features } from './arithmetic.ts';
import {
  LOWEST,
  RECORD_ACCUMULATOR,
  RECORD_BYTES,
  RECORD_MAX,
  RECORD_SUM,
  STRIP,
  stripsOf,
} from './attention-scratch.ts';
import { scaleRow } from './scale-floats.ts';
import { storeVectors } from './store-vectors.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

/** (from, into, headDim, count, numSections, sectionBytes) -> (): for `count` records one after another, of one section or of
 * several whose records lie `sectionBytes` apart. */
export function mergeAttention(features: Features): FunctionBuilder {
  const fn = new FunctionBuilder('attention_merge');
  const p = fn.params('from', 'into', 'headDim', 'count', 'numSections', 'sectionBytes');
  const { headDim } = p;
  const [from, into, count] = fn.locals('i32', 3) as [I, I, I];
  const [source, target, strips] = fn.locals('i32', 3) as [I, I, I];
  const [a, b, max] = fn.locals('v128', 3) as [V, V, V];
  const row = fn.locals('v128', 4);
  /** For each 16 features. */
  const eachStrip = (...body: readonly Statement[]): Statement[] => [
    source.set(i32.load(from, RECORD_ACCUMULATOR)),
    target.set(i32.load(into, RECORD_ACCUMULATOR)),
    strips.set(stripsOf(headDim)),
    countDown(strips, ...body, advance(source, 4 * STRIP), advance(target, 4 * STRIP)),
  ];
  const sumOf = (record: I) => f32.load(record, RECORD_SUM);
  const lane = (x: V) => f32x4.extractLane(x, 0);
  const isEmpty = (record: I) => i32.eq(f32.ne(sumOf(record), f32.const(0)), i32.const(0));
  const join: Statement[] = [
    a.set(v128.load32Splat(into, RECORD_MAX)),
    b.set(v128.load32Splat(from, RECORD_MAX)),
    max.set(f32x4.pmax(a, b)),
    a.set(f32x4.sub(a, max)),
    b.set(f32x4.sub(b, max)),
    ...exponential(fn, features, [a, b]),
    f32.store(into, lane(max), RECORD_MAX),
    f32.store(into, f32.add(f32.mul(sumOf(into), lane(a)), f32.mul(sumOf(from), lane(b))), RECORD_SUM),
    ...eachStrip(
      ...row.map((x, i) =>
        x.set(f32x4.add(f32x4.mul(v128.load(target, 16 * i), a), f32x4.mul(v128.load(source, 16 * i), b))),
      ),
      ...storeVectors(target, row),
    ),
  ];
  const replace: Statement[] = [
    f32.store(into, f32.load(from, RECORD_MAX), RECORD_MAX),
    f32.store(into, sumOf(from), RECORD_SUM),
    ...eachStrip(...row.map((x, i) => x.set(v128.load(source, 16 * i))), ...storeVectors(target, row)),
  ];
  const isNew = fn.local('i32');
  const mergeRecord: Statement[] = [
    when(
      f32.ne(sumOf(from), f32.const(0)),
      isNew.set(isEmpty(into)),
      when(isNew, ...replace),
      when(i32.eq(isNew, i32.const(0)), ...join),
    ),
    advance(from, RECORD_BYTES),
    advance(into, RECORD_BYTES),
  ];
  fn.emit(
    countDown(
      p.numSections,
      from.set(p.from),
      into.set(p.into),
      count.set(p.count),
      countDown(count, ...mergeRecord),
      advance(p.from, p.sectionBytes),
    ),
  );
  return fn;
}

/** (records, out, headDim, count) -> (): out = accumulator / sum, for `count` records and heads one after another. A query
 * that met nothing (a padding row) gives zeros, one whose scores were all -infinity NaN: no weight has anything to be
 * compared with. */
export function finishAttention(): FunctionBuilder {
  const fn = new FunctionBuilder('attention_finish');
  const { records, out, headDim, count } = fn.params('records', 'out', 'headDim', 'count');
  const source = fn.local('i32');
  const [sum, factor] = [fn.local('f32'), fn.local('f32')];
  const isNoScore = i32.eq(f32.ne(f32.load(records, RECORD_MAX), f32.const(LOWEST)), i32.const(0));
  fn.emit(
    countDown(
      count,
      source.set(i32.load(records, RECORD_ACCUMULATOR)),
      sum.set(f32.load(records, RECORD_SUM)),
      factor.set(f32.div(f32.const(1), sum)),
      when(isNoScore, factor.set(f32.const(1)), when(f32.ne(sum, f32.const(0)), factor.set(f32.const(Number.NaN)))),
      ...scaleRow(fn, { source, target: out, count: headDim, factor }),
      advance(records, RECORD_BYTES),
    ),
  );
  return fn;
}
