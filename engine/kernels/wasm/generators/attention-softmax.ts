/** Soft cap, masking and online softmax of a step's scores: scores become weights in place.
 *
 *   new max = max(old max, scores)      weight = e^(score - new max)      r = e^(old max - new max)
 *   sum     = sum * r + weights         accumulator = accumulator * r
 *
 * Multiplying by r = 1, when the maximum stays, would change no bit, and is left out.
 * Source  Milakov & Gimelshein 2018, algorithm 3; soft cap: Gemma Team 2024 */
import type { F32, I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance, countDown, countDownFromAny, when } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { exponential, type Features, sumOfLanes } from './arithmetic.ts';
import {
  LOWEST,
  RECORD_ACCUMULATOR,
  RECORD_BYTES,
  RECORD_MAX,
  RECORD_SUM,
  SCORE_ROW_BYTES,
  STRIP,
  stripRange,
  stripsOf,
} from './attention-scratch.ts';
import { forEachHead, HEAD_PARAMS } from './attention-tile.ts';
import { hyperbolicTangent } from './tanh.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

/** (records, scores, headDim, from, to, numHeads, headQueries, headBytes, isCapped, softCap f32) -> (): scores become weights,
 * for keys `from` to `to` - 1 of the step, and all records and accumulators what they are after those keys but for the
 * weighted values. `headBytes` does not matter. */
export function attentionSoftmax(numQueries: number, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_softmax_${numQueries}`);
  const p = fn.params('records', 'scores', 'headDim', 'from', 'to', ...HEAD_PARAMS, 'isCapped');
  const softCap = fn.param('f32');
  const range = stripRange(fn, p);
  const numStrips = fn.local('i32');
  const ofHead = (records: I, scores: I): Statement[] => {
    const step: Step = { fn, features, numQueries, ...p, records, scores, ...range, numStrips };
    return [when(p.isCapped, ...capScores(step, softCap)), ...maskScores(step), ...softmaxStep(step)];
  };
  fn.emit(
    numStrips.set(stripsOf(p.headDim)),
    ...range.code,
    ...forEachHead(fn, p, ({ record, scores }) => ofHead(record, scores)),
  );
  return fn;
}

/** A step's scores of `numQueries` queries. All addresses and counts i32. */
interface Step {
  readonly fn: FunctionBuilder;
  readonly features: Features;
  readonly numQueries: number;
  /** The first query's record. */
  readonly records: I32;
  readonly scores: I32;
  /** Keys `from` to `to` - 1 are seen, of which strips `start` to `end` - 1 (multiples of 16) were scored. */
  readonly from: I;
  readonly to: I;
  readonly start: I;
  readonly end: I;
  /** Strips of features, 16 each. */
  readonly numStrips: I;
}

const QUADS = [0, 1, 2, 3];
const eachQuad = (vectors: readonly V[], step: (vector: V, i: number) => Statement): Statement[] => vectors.map(step);

/** score = cap * tanh(score / cap). */
function capScores({ fn, features, numQueries, scores, start, end }: Step, softCap: F32): Statement[] {
  const [at, strips] = fn.locals('i32', 2) as [I, I];
  const four = fn.locals('v128', 4);
  const [cap, inverse] = fn.locals('v128', 2) as [V, V];
  const query = (index: number): Statement[] => [
    at.set(i32.add(scores, i32.shl(start, i32.const(2)))),
    strips.set(i32.shrU(i32.sub(end, start), i32.const(4))),
    countDown(
      strips,
      ...eachQuad(four, (x, i) => x.set(f32x4.mul(v128.load(at, index * SCORE_ROW_BYTES + 16 * i), inverse))),
      ...hyperbolicTangent(fn, features, four),
      ...eachQuad(four, (x, i) => v128.store(at, f32x4.mul(x, cap), index * SCORE_ROW_BYTES + 16 * i)),
      advance(at, 4 * STRIP),
    ),
  ];
  return [
    cap.set(f32x4.splat(softCap)),
    inverse.set(f32x4.splat(f32.div(f32.const(1), softCap))),
    ...Array.from({ length: numQueries }, (_, index) => query(index)).flat(),
  ];
}

/** Scores of keys that were scored and are not seen become LOWEST, whatever they were. */
function maskScores({ fn, numQueries, scores, from, to, start, end }: Step): Statement[] {
  const [at, count] = fn.locals('i32', 2) as [I, I];
  const fill = (first: I32, past: I32): Statement[] => [
    at.set(i32.add(scores, i32.shl(first, i32.const(2)))),
    count.set(i32.sub(past, first)),
    countDownFromAny(
      count,
      ...Array.from({ length: numQueries }, (_, i) => f32.store(at, f32.const(LOWEST), i * SCORE_ROW_BYTES)),
      advance(at, 4),
    ),
  ];
  return [...fill(start, from), ...fill(to, end)];
}

/** Scores to weights; record and accumulator of every query brought up to date. All queries go through each phase
 * together: one alone would wait for its own maximum and for its own exponentials.
 *
 * A NaN among the scores is no maximum, but its weight is NaN, and so is what it is summed into. */
function softmaxStep(step: Step): Statement[] {
  const { fn, features, numQueries, records, scores, start, end, numStrips } = step;
  const queries = Array.from({ length: numQueries }, (_, i) => i);
  const [at, strips] = fn.locals('i32', 2) as [I, I];
  const four = fn.locals('v128', 4);
  const [maxes, rescales, totals] = [0, 1, 2].map(() => fn.locals('v128', numQueries)) as [V[], V[], V[]];
  const zero = fn.constant(f32x4.constant(0));
  const toFirst = [
    at.set(i32.add(scores, i32.shl(start, i32.const(2)))),
    strips.set(i32.shrU(i32.sub(end, start), i32.const(4))),
  ];
  const scoresOf = (query: number, i: number) => v128.load(at, query * SCORE_ROW_BYTES + 16 * i);
  return [
    ...queries.map((q) => maxes[q]!.set(v128.load32Splat(records, q * RECORD_BYTES + RECORD_MAX))),
    ...queries.map((q) => rescales[q]!.set(maxes[q]!)),
    ...toFirst,
    countDown(
      strips,
      ...QUADS.flatMap((i) => queries.map((q) => maxes[q]!.set(f32x4.pmax(maxes[q]!, scoresOf(q, i))))),
      advance(at, 4 * STRIP),
    ),
    ...maxes.map((max) => max.set(f32x4.pmax(max, rotated(max, 2)))),
    ...maxes.map((max) => max.set(f32x4.pmax(max, rotated(max, 1)))),
    ...rescales.map((old, q) => old.set(f32x4.sub(old, maxes[q]!))),
    ...exponential(fn, features, rescales),
    ...totals.map((total) => total.set(zero)),
    ...toFirst,
    countDown(
      strips,
      ...queries.flatMap((q) => [
        ...eachQuad(four, (x, i) => x.set(f32x4.sub(scoresOf(q, i), maxes[q]!))),
        ...exponential(fn, features, four),
        ...eachQuad(four, (x, i) => v128.store(at, x, q * SCORE_ROW_BYTES + 16 * i)),
        totals[q]!.set(f32x4.add(totals[q]!, f32x4.add(f32x4.add(four[0]!, four[2]!), f32x4.add(four[1]!, four[3]!)))),
      ]),
      advance(at, 4 * STRIP),
    ),
    ...queries.flatMap((q) =>
      updateRecord({ at, strips, numStrips, records }, q, [maxes[q]!, rescales[q]!, totals[q]!]),
    ),
  ];
}

/** The lanes moved around by `by`. */
function rotated(x: V128, by: number): V128 {
  const bytes = Array.from({ length: 16 }, (_, i) => (i + 4 * by) % 16);
  return v128.shuffle(x, x, bytes);
}

function updateRecord(
  p: Readonly<Record<'at' | 'strips' | 'numStrips', I>> & { readonly records: I32 },
  query: number,
  [max, rescale, total]: readonly [V, V, V],
): Statement[] {
  const { at, strips, numStrips, records } = p;
  const [maxAt, sumAt, accumulatorAt] = [RECORD_MAX, RECORD_SUM, RECORD_ACCUMULATOR].map(
    (field) => query * RECORD_BYTES + field,
  ) as [number, number, number];
  const factor = f32x4.extractLane(rescale, 0);
  const scaled = (i: number): V128 => f32x4.mul(v128.load(at, 16 * i), rescale);
  return [
    f32.store(records, f32x4.extractLane(max, 0), maxAt),
    f32.store(records, f32.add(f32.mul(f32.load(records, sumAt), factor), sumOfLanes(total)), sumAt),
    when(
      f32.ne(factor, f32.const(1)),
      at.set(i32.load(records, accumulatorAt)),
      strips.set(numStrips),
      countDown(strips, ...QUADS.map((i) => v128.store(at, scaled(i), 16 * i)), advance(at, 4 * STRIP)),
    ),
  ];
}
