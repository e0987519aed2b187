/** Soft cap, masking and softmax of the scores of a section of keys: scores become weights in place.
 *
 *   max = max(scores)      weight = e^(score - max)      sum = sum of the weights
 *
 * Sections are joined later (attention-merge.ts), so no weight ever has to be corrected for a larger score that came after.
 * Source  Milakov & Gimelshein 2018; soft cap: Gemma Team 2024 */
import type { F32, I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance, countDown, countDownFromAny, when } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { exponential, type Features, sumOfLanes } from './arithmetic.ts';
import {
  LOWEST,
  RECORD_BYTES,
  RECORD_MAX,
  RECORD_SUM,
  SCORE_ROW_BYTES,
  SECTION_KEYS,
  STRIP,
  stripRange,
} from './attention-scratch.ts';
import { forEachHead, HEAD_PARAMS } from './attention-tile.ts';
import { storeVectors } from './store-vectors.ts';
import { hyperbolicTangent } from './tanh.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

/** (records, scores, from, to, numHeads, headQueries, headBytes, isCapped, softCap f32, weightScale f32) -> (): scores become
 * weights, times `weightScale`, for keys `from` to `to` - 1 of the section; the records' largest score and sum of weights are
 * set. `headBytes` does not matter. */
export function attentionSoftmax(numQueries: number, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_softmax_${numQueries}`);
  const p = fn.params('records', 'scores', 'from', 'to', ...HEAD_PARAMS, 'isCapped');
  const [softCap, weightScale] = [fn.param('f32'), fn.param('f32')];
  const weightScales = fn.local('v128');
  const range = stripRange(fn, p);
  const ofHead = (records: I, scores: I): Statement[] => {
    const rows: ScoreRows = { fn, features, numQueries, ...p, records, scores, ...range, weightScales };
    return [when(p.isCapped, ...capScores(rows, softCap)), ...maskScores(rows), ...softmaxRows(rows)];
  };
  fn.emit(
    weightScales.set(f32x4.splat(weightScale)),
    ...range.code,
    ...forEachHead(fn, p, ({ record, scores }) => ofHead(record, scores)),
  );
  return fn;
}

/** A section's scores of `numQueries` queries. All addresses and counts i32. */
interface ScoreRows {
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
  /** What weights carry (SCALING), in all lanes. */
  readonly weightScales: V;
}

const QUADS = [0, 1, 2, 3];
const eachQuad = (vectors: readonly V[], step: (vector: V, i: number) => Statement): Statement[] => vectors.map(step);

/** score = cap * tanh(score / cap). */
function capScores({ fn, features, numQueries, scores, start, end }: ScoreRows, softCap: F32): Statement[] {
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
      ...storeVectors(
        at,
        four.map((x) => f32x4.mul(x, cap)),
        index * SCORE_ROW_BYTES,
      ),
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
function maskScores({ fn, numQueries, scores, from, to, start, end }: ScoreRows): Statement[] {
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

/** Scores to weights, and what the records hold of them. All queries go through each phase together: one alone would wait
 * for its own maximum.
 *
 * Maxima and sums are taken of vectors 0 and 2 of each strip and of 1 and 3, and stored behind the row of scores before they
 * meet: V8 finds what to make of 256 bits from stores.
 *
 * A NaN among the scores is no maximum, but its weight is NaN, and so is what it is summed into. */
function softmaxRows(rows: ScoreRows): Statement[] {
  const { fn, features, numQueries, records, scores, start, end, weightScales } = rows;
  const queries = Array.from({ length: numQueries }, (_, i) => i);
  const [at, strips] = fn.locals('i32', 2) as [I, I];
  const eight = fn.locals('v128', 8);
  const pairs = queries.map(() => fn.locals('v128', 2) as [V, V]);
  const maxes = fn.locals('v128', numQueries);
  const [lowest, zero] = [fn.constant(f32x4.constant(LOWEST)), fn.constant(f32x4.constant(0))];
  const scoresOf = (query: number, i: number) => v128.load(at, query * SCORE_ROW_BYTES + 16 * i);
  const eachStrip = (...body: readonly Statement[]): Statement[] => [
    at.set(i32.add(scores, i32.shl(start, i32.const(2)))),
    strips.set(i32.shrU(i32.sub(end, start), i32.const(4))),
    countDown(strips, ...body, advance(at, 4 * STRIP)),
  ];
  const behindRow = (query: number) => query * SCORE_ROW_BYTES + SECTION_KEYS * 4;
  const storePairs = pairs.flatMap((pair, q) => storeVectors(scores, pair, behindRow(q)));
  const halvesOf = (query: number) =>
    [0, 16].map((offset) => v128.load(scores, behindRow(query) + offset)) as [V128, V128];
  const weigh = (some: readonly number[]): Statement[] => {
    const vectors = eight.slice(0, QUADS.length * some.length);
    const fours = some.map((_, i) => vectors.slice(4 * i, 4 * i + 4) as [V, V, V, V]);
    return [
      ...fours.flatMap((four, i) =>
        eachQuad(four, (x, v) => x.set(f32x4.sub(scoresOf(some[i]!, v), maxes[some[i]!]!))),
      ),
      ...exponential(fn, features, vectors),
      ...fours.flatMap(([a, b, c, d], i) => {
        const [even, odd] = pairs[some[i]!]!;
        return [even.set(f32x4.add(even, f32x4.add(a, c))), odd.set(f32x4.add(odd, f32x4.add(b, d)))];
      }),
      ...eachQuad(vectors, (x) => x.set(f32x4.mul(x, weightScales))),
      ...fours.flatMap((four, i) => storeVectors(at, four, some[i]! * SCORE_ROW_BYTES)),
    ];
  };
  return [
    ...pairs.flat().map((max) => max.set(lowest)),
    ...eachStrip(
      ...queries.flatMap((q) => QUADS.map((i) => pairs[q]![i & 1]!.set(f32x4.pmax(pairs[q]![i & 1]!, scoresOf(q, i))))),
    ),
    ...storePairs,
    ...maxes.map((max, q) => max.set(f32x4.pmax(...halvesOf(q)))),
    ...maxes.map((max) => max.set(f32x4.pmax(max, rotated(max, 2)))),
    ...maxes.map((max) => max.set(f32x4.pmax(max, rotated(max, 1)))),
    ...queries.map((q) => f32.store(records, f32x4.extractLane(maxes[q]!, 0), q * RECORD_BYTES + RECORD_MAX)),
    ...pairs.flat().map((total) => total.set(zero)),
    ...eachStrip(...pairsOf(queries).flatMap(weigh)),
    ...storePairs,
    ...maxes.map((sum, q) => sum.set(f32x4.add(...halvesOf(q)))),
    ...queries.map((q) => f32.store(records, sumOfLanes(maxes[q]!), q * RECORD_BYTES + RECORD_SUM)),
  ];
}

/** Two at a time: the exponentials of one would wait for each other. */
function pairsOf(queries: readonly number[]): number[][] {
  return queries.filter((q) => q % 2 === 0).map((q) => queries.slice(q, q + 2));
}

/** The lanes moved around by `by`. */
function rotated(x: V128, by: number): V128 {
  const bytes = Array.from({ length: 16 }, (_, i) => (i + 4 * by) % 16);
  return v128.shuffle(x, x, bytes);
}
