/** Causal attention over keys and values that lie in pages, found through each sequence's block table.
 * Gather the pages a sequence sees into rows in order of position, then plain attention. See docs/attention.md. */
import { checkPages, firstVisibleKey } from '../check-indices.ts';
import type { PagedAttentionArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { FormattedView, floatsOf, intsOf } from './host-memory.ts';

/** A part is a range of (sequence, KV head) pairs: the keys and values of one KV head are gathered once and shared by
 * its NH / NKV query heads (grouped-query attention).
 *
 * Numerics: K and V dequantized to f32; scores, soft cap, exponentials, their sum and the weighted sum of values all in
 * f64; keys walked in order of position, whatever pages they lie in and whoever else is in the batch; the maximum
 * score subtracted before exp; division by the sum of weights last, then one rounding per output element.
 * @throws InvalidArgumentError for a length or a page that does not exist. */
export function pagedAttention(args: PagedAttentionArgs, part: Part = WHOLE): void {
  const [numTokens, numHeads, headDim] = args.q.shape as [number, number, number];
  const [numBlocks, numKvHeads, blockSize] = args.keyCache.shape as [number, number, number, number];
  const [numSeqs, maxBlocks] = args.blockTables.shape as [number, number];
  const q = floatsOf(args.q);
  const out = floatsOf(args.out);
  const blockTables = intsOf(args.blockTables);
  const queryStartLoc = intsOf(args.queryStartLoc);
  const seqLens = intsOf(args.seqLens);
  const window = args.slidingWindow ?? Number.POSITIVE_INFINITY;
  checkPages({ blockTables, queryStartLoc, seqLens, numTokens, numBlocks, blockSize, window });

  const cache = new PagedRows(args);
  const numSharing = numHeads / numKvHeads;
  const sums = new Float64Array(headDim);
  let scratch = { keys: new Float32Array(0), values: new Float32Array(0), scores: new Float64Array(0) };

  const end = partEnd(numSeqs * numKvHeads, part);
  for (let unit = partStart(numSeqs * numKvHeads, part); unit < end; unit++) {
    const s = Math.floor(unit / numKvHeads);
    const kvHead = unit % numKvHeads;
    const firstRow = queryStartLoc[s]!;
    const numQueries = queryStartLoc[s + 1]! - firstRow;
    const seqLen = seqLens[s]!;
    const firstKey = firstVisibleKey(seqLen, numQueries, window);
    const numKeys = numQueries === 0 ? 0 : seqLen - firstKey;

    if (scratch.scores.length < numKeys) scratch = newScratch(numKeys, headDim);
    const { keys, values, scores } = scratch;
    const table = blockTables.subarray(s * maxBlocks, (s + 1) * maxBlocks);
    cache.gather({ table, kvHead, firstKey, endKey: firstKey + numKeys }, scratch);

    for (let r = 0; r < numQueries; r++) {
      // What the row sees, counted from the first gathered key. A padding sequence (seqLen 0) sees nothing.
      const position = seqLen - numQueries + r;
      const seenFrom = Math.max(0, position - window + 1) - firstKey;
      const seenTo = Math.max(seenFrom, position + 1 - firstKey);
      const seenKeys = keys.subarray(seenFrom * headDim, seenTo * headDim);
      const seenValues = values.subarray(seenFrom * headDim, seenTo * headDim);
      const weights = scores.subarray(0, seenTo - seenFrom);

      for (let head = kvHead * numSharing; head < (kvHead + 1) * numSharing; head++) {
        const row = ((firstRow + r) * numHeads + head) * headDim;
        scoreKeys(q.subarray(row, row + headDim), seenKeys, weights, args);
        const total = exponentials(weights);
        sumValues(weights, seenValues, sums);
        for (let d = 0; d < headDim; d++) out[row + d] = total === 0 ? 0 : sums[d]! / total;
      }
    }
  }
}

interface Scratch {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  readonly scores: Float64Array;
}

function newScratch(numKeys: number, headDim: number) {
  return {
    keys: new Float32Array(numKeys * headDim),
    values: new Float32Array(numKeys * headDim),
    scores: new Float64Array(numKeys),
  };
}

/** Reads rows of the paged cache in order of position. */
class PagedRows {
  readonly #keyCache: FormattedView;
  readonly #valueCache: FormattedView;
  readonly #numKvHeads: number;
  readonly #blockSize: number;
  readonly #headDim: number;

  constructor({ keyCache, valueCache }: PagedAttentionArgs) {
    const [, numKvHeads, blockSize, headDim] = keyCache.shape as [number, number, number, number];
    this.#keyCache = new FormattedView(keyCache);
    this.#valueCache = new FormattedView(valueCache);
    this.#numKvHeads = numKvHeads;
    this.#blockSize = blockSize;
    this.#headDim = headDim;
  }

  /** Dequantizes the rows of positions `firstKey` to `endKey` - 1 of one KV head to the start of the scratch. */
  gather(
    rows: { readonly table: Int32Array; readonly kvHead: number; readonly firstKey: number; readonly endKey: number },
    target: Scratch,
  ): void {
    const { table, kvHead, firstKey, endKey } = rows;
    let position = firstKey;
    while (position < endKey) {
      const block = table[Math.floor(position / this.#blockSize)]!;
      const slotInBlock = position % this.#blockSize;
      const numRows = Math.min(this.#blockSize - slotInBlock, endKey - position);
      const start = ((block * this.#numKvHeads + kvHead) * this.#blockSize + slotInBlock) * this.#headDim;
      const targetStart = (position - firstKey) * this.#headDim;
      this.#keyCache.read(start, numRows * this.#headDim, target.keys, targetStart);
      this.#valueCache.read(start, numRows * this.#headDim, target.values, targetStart);
      position += numRows;
    }
  }
}

/** scores[j] = query · keys[j] * scale, soft-capped. */
function scoreKeys(
  query: Float32Array,
  keys: Float32Array,
  scores: Float64Array,
  { scale, softCap }: { readonly scale: number; readonly softCap?: number | undefined },
): void {
  const headDim = query.length;
  for (let j = 0; j < scores.length; j++) {
    let dot = 0;
    for (let d = 0; d < headDim; d++) dot += query[d]! * keys[j * headDim + d]!;
    const score = dot * scale;
    scores[j] = softCap === undefined ? score : softCap * Math.tanh(score / softCap);
  }
}

/** Turns scores into e^(score - max), unnormalized softmax weights, and returns their sum. */
function exponentials(scores: Float64Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < scores.length; j++) if (scores[j]! > max) max = scores[j]!;
  let sum = 0;
  for (let j = 0; j < scores.length; j++) {
    const weight = Math.exp(scores[j]! - max);
    scores[j] = weight;
    sum += weight;
  }
  return sum;
}

/** sums[d] = sum over j of weights[j] * values[j][d]. */
function sumValues(weights: Float64Array, values: Float32Array, sums: Float64Array): void {
  const headDim = sums.length;
  sums.fill(0);
  for (let j = 0; j < weights.length; j++) {
    const weight = weights[j]!;
    for (let d = 0; d < headDim; d++) sums[d] = sums[d]! + weight * values[j * headDim + d]!;
  }
}
