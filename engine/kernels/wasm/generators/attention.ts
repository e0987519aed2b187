/** One step of attention: 1 to 6 queries meet up to 64 keys and values, of which all of them see the same.
 * ops/attention-walk.ts walks over steps and queries.
 *
 *   attention_scores   scores       = q . k * scale               attention-product.ts
 *   attention_softmax  weights      = online softmax, after soft cap        attention-softmax.ts
 *   attention_values   accumulator += sum of weight * v           attention-product.ts
 *
 * Scores and values may be taken some keys at a time; the softmax takes the whole step. Where steps begin depends on
 * positions alone, and every number of one query comes from the same operations in the same order however many queries
 * take part and in whatever pieces: neither company, nor chunks, pages or threads change a bit.
 * Source  Dao et al. 2022, "FlashAttention", algorithm 1; Rabe & Staats 2021 */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, block, branchIf, countDownFromAny, loop, when } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import type { Features } from './arithmetic.ts';
import { multiplyRows, type ProductLocals, productLocals } from './attention-product.ts';
import {
  RECORD_ACCUMULATOR,
  RECORD_BYTES,
  RECORD_SUM,
  SCORE_ROW_BYTES,
  STRIP,
  STRIP_ENTRY_BYTES,
  STRIP_ROW_BYTES,
} from './attention-scratch.ts';
import { capScores, maskScores, type Step, softmaxStep } from './attention-softmax.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

const VECTORS_PER_STRIP = STRIP / 4;

/** Strips that a tile takes where so many are left. Few queries take more, so that enough sums are under way at a time
 * to hide the latency of an addition. */
export const stripsOfTile = (numQueries: number): number => (numQueries <= 2 ? 2 : 1);

/** (records, strips, scores, headDim, from, to, scale f32) -> (): scores of keys `from` to `to` - 1 of the step, at least
 * one, filled up to whole strips. */
export function attentionScores(numQueries: number, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_scores_${numQueries}`);
  const p = fn.params('records', 'strips', 'scores', 'headDim', 'from', 'to');
  const scale = fn.param('f32');
  fn.emit(...scoreKeys(newTile(fn, numQueries, features), p, { ...stripRange(fn, p), scale }));
  return fn;
}

/** (records, scores, headDim, from, to, isCapped, softCap f32) -> (): scores become weights, for keys `from` to `to` - 1
 * of the step, and all records and accumulators what they are after those keys but for the weighted values. */
export function attentionSoftmax(numQueries: number, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_softmax_${numQueries}`);
  const p = fn.params('records', 'scores', 'headDim', 'from', 'to', 'isCapped');
  const softCap = fn.param('f32');
  const range = stripRange(fn, p);
  const numStrips = fn.local('i32');
  const step: Step = { fn, features, numQueries, ...p, ...range, numStrips };
  fn.emit(
    numStrips.set(stripsOf(p.headDim)),
    ...range.code,
    when(p.isCapped, ...capScores(step, softCap)),
    ...maskScores(step),
    ...softmaxStep(step),
  );
  return fn;
}

/** (records, strips, scores, headDim, valueBytes, from, to) -> (): adds the weighted values of keys `from` to `to` - 1 of
 * the step, at least one. `valueBytes`: from one key's values to the next's. */
export function attentionValues(numQueries: number, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_values_${numQueries}`);
  const p = fn.params('records', 'strips', 'scores', 'headDim', 'valueBytes', 'from', 'to');
  fn.emit(...addValues(newTile(fn, numQueries, features), p));
  return fn;
}

/** Strips `start` to `end` - 1 (multiples of 16) hold keys `from` to `to` - 1. */
function stripRange(fn: FunctionBuilder, { from, to }: { readonly from: I; readonly to: I }) {
  const [start, end] = fn.locals('i32', 2) as [I, I];
  const code = [
    start.set(i32.and(from, i32.const(-STRIP))),
    end.set(i32.and(i32.add(to, i32.const(STRIP - 1)), i32.const(-STRIP))),
  ];
  return { start, end, code };
}

const stripsOf = (headDim: I) => i32.shrU(i32.add(headDim, i32.const(STRIP - 1)), i32.const(LOG2_STRIP));

const LOG2_STRIP = Math.log2(STRIP);

/** What both products use. */
interface Tile {
  readonly fn: FunctionBuilder;
  readonly features: Features;
  readonly factors: readonly I[];
  readonly sums: readonly (readonly V[])[];
  readonly locals: ProductLocals;
}

function newTile(fn: FunctionBuilder, numQueries: number, features: Features): Tile {
  const factors = fn.locals('i32', numQueries);
  const maxVectors = stripsOfTile(numQueries) * VECTORS_PER_STRIP;
  const sums = factors.map(() => fn.locals('v128', maxVectors));
  return { fn, features, factors, sums, locals: productLocals(fn, maxVectors) };
}

interface ScoreRange extends ReturnType<typeof stripRange> {
  readonly scale: Local<'f32'>;
}

/** scores[query][key] = q . k * scale, for whole strips of keys. */
function scoreKeys(
  tile: Tile,
  p: Readonly<Record<'records' | 'strips' | 'scores' | 'headDim', I>>,
  range: ScoreRange,
): Statement[] {
  const { fn, features, factors, locals } = tile;
  const [entry, column, left] = fn.locals('i32', 3) as [I, I, I];
  const places = fn.locals('i32', stripsOfTile(factors.length));
  const scales = fn.local('v128');
  const zero = fn.constant(f32x4.constant(0));
  const scoreTile = (numStrips: number): Statement[] => {
    const rows = places.slice(0, numStrips);
    const sums = tile.sums.map((all) => all.slice(0, numStrips * VECTORS_PER_STRIP));
    const numRows = p.headDim;
    return [
      ...rows.map((row, i) => row.set(i32.load(entry, i * STRIP_ENTRY_BYTES))),
      ...factors.map((factor, i) => factor.set(i32.load(p.records, i * RECORD_BYTES))),
      ...sums.flat().map((sum) => sum.set(zero)),
      ...multiplyRows({
        ...{ features, locals, sums, factors, rows, numRows },
        rowBytes: STRIP_ROW_BYTES,
        vectorsPerPlace: VECTORS_PER_STRIP,
      }),
      ...sums.flat().map((sum) => sum.set(f32x4.mul(sum, scales))),
      ...sums.flatMap((row, i) => row.map((sum, v) => v128.store(column, sum, i * SCORE_ROW_BYTES + 16 * v))),
      advance(entry, numStrips * STRIP_ENTRY_BYTES),
      advance(column, numStrips * STRIP * 4),
    ];
  };
  return [
    ...range.code,
    scales.set(f32x4.splat(range.scale)),
    column.set(i32.add(p.scores, i32.shl(range.start, i32.const(2)))),
    left.set(i32.shrU(range.start, i32.const(LOG2_STRIP))),
    entry.set(i32.add(p.strips, i32.mul(left, i32.const(STRIP_ENTRY_BYTES)))),
    left.set(i32.sub(i32.shrU(range.end, i32.const(LOG2_STRIP)), left)),
    ...tiles(factors.length, left, scoreTile),
  ];
}

/** accumulator[query][feature] += sum over the seen keys of weight * v. The sums stay in registers from strip to strip
 * of keys. */
function addValues(
  tile: Tile,
  p: Readonly<Record<'records' | 'strips' | 'scores' | 'headDim' | 'valueBytes' | 'from' | 'to', I>>,
): Statement[] {
  const { fn, features, factors, locals } = tile;
  const [row, entry, key, past, count, feature, left] = fn.locals('i32', 7) as [I, I, I, I, I, I, I];
  const targets = fn.locals('i32', factors.length);
  const firstWeights = i32.add(p.scores, i32.shl(p.from, i32.const(2)));
  const stripOf = (position: I) => i32.shrU(position, i32.const(LOG2_STRIP));
  const addTile = (width: number): Statement[] => {
    const sums = tile.sums.map((all) => all.slice(0, width * VECTORS_PER_STRIP));
    const rowInStrip = i32.mul(i32.and(key, i32.const(STRIP - 1)), p.valueBytes);
    return [
      ...factors.map((factor, i) => factor.set(i32.add(firstWeights, i32.const(i * SCORE_ROW_BYTES)))),
      ...sums.flatMap((all, i) => all.map((sum, v) => sum.set(v128.load(targets[i]!, 16 * v)))),
      key.set(p.from),
      entry.set(i32.add(p.strips, i32.mul(stripOf(key), i32.const(STRIP_ENTRY_BYTES)))),
      loop(
        past.set(i32.add(i32.and(key, i32.const(-STRIP)), i32.const(STRIP))),
        past.set(i32.select(p.to, past, i32.ltU(p.to, past))),
        count.set(i32.sub(past, key)),
        row.set(i32.add(i32.add(i32.load(entry, 4), feature), rowInStrip)),
        ...multiplyRows({
          ...{ features, locals, sums, factors, rows: [row], rowBytes: p.valueBytes, numRows: count },
          vectorsPerPlace: width * VECTORS_PER_STRIP,
        }),
        key.set(past),
        advance(entry, STRIP_ENTRY_BYTES),
        branchIf(0, i32.ltU(key, p.to)),
      ),
      ...sums.flatMap((all, i) => all.map((sum, v) => v128.store(targets[i]!, sum, 16 * v))),
      ...[feature, ...targets].map((pointer) => advance(pointer, width * STRIP * 4)),
    ];
  };
  return [
    feature.set(i32.const(0)),
    ...targets.map((target, i) => target.set(i32.load(p.records, i * RECORD_BYTES + RECORD_ACCUMULATOR))),
    left.set(stripsOf(p.headDim)),
    ...tiles(factors.length, left, addTile),
  ];
}

/** Tiles of as many strips as may be, then single strips. */
function tiles(numQueries: number, left: I, tile: (numStrips: number) => Statement[]): Statement[] {
  const widest = stripsOfTile(numQueries);
  const run = (numStrips: number): Statement =>
    block(
      loop(
        branchIf(1, i32.ltU(left, i32.const(numStrips))),
        ...tile(numStrips),
        left.set(i32.sub(left, i32.const(numStrips))),
        branchIf(0, i32.const(1)),
      ),
    );
  return widest === 1 ? [run(1)] : [run(widest), run(1)];
}

/** (record, out, headDim) -> (): out = accumulator / sum. */
export function finishAttention(): FunctionBuilder {
  const fn = new FunctionBuilder('attention_finish');
  const [record, out, headDim] = [fn.param('i32'), fn.param('i32'), fn.param('i32')];
  const [at, rounds] = fn.locals('i32', 2) as [I, I];
  const factor = fn.local('v128');
  const step = (bytes: number): Statement[] => [advance(at, bytes), advance(out, bytes)];
  const quads = fn.locals('v128', 2);
  fn.emit(
    at.set(i32.load(record, RECORD_ACCUMULATOR)),
    factor.set(f32x4.splat(f32.div(f32.const(1), f32.load(record, RECORD_SUM)))),
    rounds.set(i32.shrU(headDim, i32.const(3))),
    countDownFromAny(
      rounds,
      ...quads.map((quad, i) => quad.set(f32x4.mul(v128.load(at, 16 * i), factor))),
      ...quads.map((quad, i) => v128.store(out, quad, 16 * i)),
      ...step(32),
    ),
    rounds.set(i32.and(headDim, i32.const(7))),
    countDownFromAny(rounds, f32.store(out, f32.mul(f32.load(at), f32x4.extractLane(factor, 0))), ...step(4)),
  );
  return fn;
}
