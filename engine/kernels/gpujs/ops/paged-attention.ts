/** pagedAttention: places, scores, softmax, values; see kernels/paged-attention.ts. All scores of some rows are in memory
 * at once, so long batches are cut into chunks of rows. */
import { checkPages } from '../../check-indices.ts';
import type { PagedAttentionArgs } from '../../ops.ts';
import { ATTENTION_SCORES, LOCATE_ROWS, SOFTMAX_OF_SCORES, SUM_VALUES } from '../kernels/paged-attention.ts';
import type { ArrayView } from '../launch.ts';
import { cacheView, kvDtype } from './kv-cache.ts';
import type { OpTarget } from './op-target.ts';

/** There are scores for so many keys more than any row sees, at most: a step whose sequences have grown by a token is then
 * the same launches as the step before. */
const KEY_STEP = 64;

export function pagedAttention(target: OpTarget, args: PagedAttentionArgs): void {
  const { q, keyCache, valueCache, blockTables, queryStartLoc, seqLens, scale, slidingWindow, softCap, out } = args;
  const [numTokens, numHeads, headDim] = q.shape as [number, number, number];
  const [numBlocks, numKvHeads, blockSize] = keyCache.shape as [number, number, number, number];
  const [numSeqs, maxBlocks] = blockTables.shape as [number, number];
  const window = slidingWindow ?? Number.POSITIVE_INFINITY;
  const [numRows, numKeys] = target.look([blockTables, queryStartLoc, seqLens], (tables, starts, lengths) => {
    checkPages({
      blockTables: tables!,
      queryStartLoc: starts!,
      seqLens: lengths!,
      numTokens,
      numBlocks,
      blockSize,
      window,
    });
    // Rows from there on belong to nobody.
    return [starts![numSeqs]!, Math.ceil(longestRow(starts!, lengths!, window) / KEY_STEP) * KEY_STEP];
  }) as [number, number];
  const places = target.scratch('places', [numRows, 2]);
  target.run(LOCATE_ROWS, {
    inputs: {
      queryStartLoc: target.view(queryStartLoc, [numSeqs + 1]),
      seqLens: target.view(seqLens, [numSeqs]),
      numSeqs,
    },
    out: { ...places, dims: [numRows] },
    threads: [numRows],
  });

  const shared = {
    blockTables: target.view(blockTables, [numSeqs, maxBlocks]),
    numSharing: numHeads / numKvHeads,
    numKvHeads,
    blockSize,
    // A window that no row fills is none.
    window: window <= numKeys ? window : 0,
  };
  const qView = target.view(q, [numTokens, numHeads, headDim]);
  const outView = target.view(out, [numTokens, numHeads, headDim]);
  const keys = cacheView(target, keyCache);
  const values = cacheView(target, valueCache);
  const rowsPerChunk = Math.max(1, Math.floor(target.maxScratchElements / Math.max(1, numHeads * numKeys)));
  for (let firstRow = 0; firstRow < numRows; firstRow += rowsPerChunk) {
    const rows = Math.min(rowsPerChunk, numRows - firstRow);
    const fromRow = (view: ArrayView): ArrayView => ({
      ...view,
      dims: [rows, numHeads, headDim],
      start: view.start + firstRow * numHeads * headDim,
    });
    const inputs = { ...shared, places: { ...places, dims: [rows, 2], start: places.start + 2 * firstRow } };
    const scores = target.scratch('scores', [rows, numHeads, numKeys]);
    const softmax = target.scratch('softmax', [rows, numHeads, 2]);
    target.run(ATTENTION_SCORES[kvDtype(keyCache)], {
      inputs: { ...inputs, q: fromRow(qView), keyCache: keys, headDim, scale, softCap: softCap ?? 0 },
      out: scores,
      threads: [numKeys, numHeads, rows],
    });
    target.run(SOFTMAX_OF_SCORES, {
      inputs: { ...inputs, scores },
      out: { ...softmax, dims: [rows, numHeads] },
      threads: [numHeads, rows],
    });
    target.run(SUM_VALUES[kvDtype(valueCache)], {
      inputs: { ...inputs, scores, softmax, valueCache: values },
      out: fromRow(outView),
      threads: [headDim, numHeads, rows],
    });
  }
}

/** The most keys that any row sees. */
function longestRow(starts: Int32Array, lengths: Int32Array, window: number): number {
  let most = 0;
  for (let s = 0; s < lengths.length; s++) {
    if (starts[s + 1]! > starts[s]!) most = Math.max(most, Math.min(lengths[s]!, window));
  }
  return most;
}
