/** scores = q . k * scale, for some keys of a section: the first product of attention. */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, countDown } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { type Features, multiplyAdd } from './arithmetic.ts';
import { multiplyRows, VECTORS } from './attention-product.ts';
import {
  blocksOf,
  levelPairRows,
  loadScales,
  plainRows,
  Q8_STRIP,
  QUERY_BLOCK,
  type StripDType,
} from './attention-rows.ts';
import {
  LOG2_STRIP,
  RECORD_BYTES,
  SCORE_ROW_BYTES,
  STRIP,
  STRIP_ENTRY_BYTES,
  stripEntry,
  stripRange,
} from './attention-scratch.ts';
import { clearSums, forEachHead, HEAD_PARAMS, newTile, type Tile } from './attention-tile.ts';
import { storeVectors } from './store-vectors.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

/** (records, strips, scores, headDim, from, to, numHeads, headQueries, headBytes, scale f32) -> (): scores of keys `from`
 * to `to` - 1 of the section, at least one, filled up to whole strips. Strip by strip, and of each all heads: they lie side by
 * side. */
export function attentionScores(dtype: StripDType, numQueries: number, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`attention_scores_${dtype}_${numQueries}`);
  const p = fn.params('records', 'strips', 'scores', 'headDim', 'from', 'to', ...HEAD_PARAMS);
  const scale = fn.param('f32');
  const tile = newTile(fn, numQueries);
  const [entry, column, left] = fn.locals('i32', 3) as [I, I, I];
  const scales = fn.local('v128');
  const range = stripRange(fn, p);
  const strip = { headDim: p.headDim, scales };
  const scoreStrip = dtype === 'q8_0' ? scoreLevels(tile, features, strip) : scoreNumbers(tile, dtype, features, strip);

  fn.emit(
    ...range.code,
    scales.set(f32x4.splat(scale)),
    column.set(i32.add(p.scores, i32.shl(range.start, i32.const(2)))),
    entry.set(stripEntry(p.strips, range.start)),
    left.set(i32.shrU(i32.sub(range.end, range.start), i32.const(LOG2_STRIP))),
    countDown(
      left,
      ...forEachHead(fn, { ...p, scores: column }, ({ record, scores, offset }) => [
        tile.place.set(i32.add(i32.load(entry), offset)),
        ...tile.factors.map((factor, i) => factor.set(i32.load(record, i * RECORD_BYTES))),
        ...scoreStrip(scores),
      ]),
      advance(entry, STRIP_ENTRY_BYTES),
      advance(column, STRIP * 4),
    ),
  );
  return fn;
}

interface StripOfKeys {
  readonly headDim: I;
  /** What scores are multiplied by, in all lanes. */
  readonly scales: V;
}

/** Stores a strip's scores of the tile's queries, the first's at `scores`. */
type ScoreStrip = (scores: I) => Statement[];

const store = ({ sums }: Tile, query: number, scores: I): Statement[] =>
  storeVectors(scores, sums[query]!, query * SCORE_ROW_BYTES);

/** One product over all features. */
function scoreNumbers(
  tile: Tile,
  dtype: 'f32' | 'f16',
  features: Features,
  { headDim, scales }: StripOfKeys,
): ScoreStrip {
  const product = multiplyRows({ ...tile, reader: plainRows(tile.fn, dtype, features), numRows: headDim });
  return (scores) => [
    ...clearSums(tile),
    ...product,
    ...tile.sums.flat().map((sum) => sum.set(f32x4.mul(sum, scales))),
    ...tile.factors.flatMap((_, query) => store(tile, query, scores)),
  ];
}

/** A product of whole numbers for each block of features that share scales: those of 16 keys, and each query's own, which
 * lies behind its levels. Blocks meet in the scores. */
function scoreLevels(tile: Tile, features: Features, { headDim, scales }: StripOfKeys): ScoreStrip {
  const { fn, factors, sums, place } = tile;
  const [numRows, blocks] = fn.locals('i32', 2) as [I, I];
  const keyScales = fn.locals('v128', VECTORS);
  const queryScale = fn.local('v128');
  const product = multiplyRows({ ...tile, reader: levelPairRows(), numRows });
  const addBlock = (query: number, scores: I): Statement[] => [
    queryScale.set(v128.load32Splat(factors[query]!)),
    ...sums[query]!.map((sum, v) => {
      const before = v128.load(scores, query * SCORE_ROW_BYTES + 16 * v);
      const scaleOfBoth = f32x4.mul(keyScales[v]!, queryScale);
      return sum.set(multiplyAdd(features, f32x4.convertI32x4S(sum), scaleOfBoth, before));
    }),
    ...store(tile, query, scores),
    advance(factors[query]!, QUERY_BLOCK.bytes - QUERY_BLOCK.scaleOffset),
  ];
  return (scores) => [
    ...clearSums(tile),
    ...factors.flatMap((_, query) => store(tile, query, scores)),
    numRows.set(i32.const(Q8_STRIP.features / 2)),
    blocks.set(blocksOf(headDim)),
    countDown(
      blocks,
      ...loadScales(fn, keyScales, place),
      ...keyScales.map((keyScale) => keyScale.set(f32x4.mul(keyScale, scales))),
      advance(place, Q8_STRIP.scaleBytes),
      ...clearSums(tile),
      ...product,
      ...factors.flatMap((_, query) => addBlock(query, scores)),
    ),
  ];
}
