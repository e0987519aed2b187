/** Causal attention over keys and values that lie in pages, in four kernels with their meeting points between them:
 *
 *   locateRows        row                  which sequence it belongs to and where it stands in it
 *   attentionScores   row, head, key       q · k * scale
 *   softmaxOfScores   row, head            largest score, and the sum of e^(score - largest)
 *   sumValues         row, head, element   the values, weighted
 *
 * Each key is looked up through the sequence's block table, where its page may lie anywhere:
 *
 *   key 37, BS = 16:   blockTables[s] = [ 7, 2, 9, ... ]     37 = 2 * 16 + 5     page 9, slot 5
 *
 * A cache is seen as [B * NKV][BS][D]. Keys are counted from the first that a row sees (`firstKey`), so that with a
 * sliding window the scores take no more room than the window. Sums run in order of position, whoever else is in the
 * batch and wherever the pages lie. Sources: see `PagedAttentionArgs`. */
import type { KernelSource, KernelThread, Matrix, Vector, Volume } from '../kernel-source.ts';

/** Threads (row). Gives [sequence, position]; a position below 0 for a row of a padding sequence, which sees nothing. */
function locateRows(this: KernelThread, queryStartLoc: Vector, seqLens: Vector, numSeqs: number): number[] {
  const row = this.thread.x;
  let sequence = -1;
  let position = -1;
  for (let s = 0; s < numSeqs; s++) {
    if (row >= queryStartLoc[s]! && row < queryStartLoc[s + 1]!) {
      sequence = s;
      position = seqLens[s]! - queryStartLoc[s + 1]! + row;
    }
  }
  return [sequence, position];
}

/** Threads (key from the first seen, query head, row). `window` is 0 when all earlier keys are seen, `softCap` 0 when
 * there is none. Beyond what the row sees the score is never read. */
function attentionScores(
  this: KernelThread,
  q: Volume,
  keyCache: Volume,
  blockTables: Matrix,
  places: Matrix,
  numSharing: number,
  numKvHeads: number,
  blockSize: number,
  headDim: number,
  window: number,
  scale: number,
  softCap: number,
): number {
  const head = this.thread.y;
  const row = this.thread.z;
  const sequence = places[row]![0]!;
  const position = places[row]![1]!;
  let firstKey = 0;
  if (window > 0) {
    firstKey = Math.max(0, position - window + 1);
  }
  const key = firstKey + this.thread.x;
  if (key > position) {
    return 0;
  }
  // 0.5: see write-kv.ts.
  const page = Math.floor((key + 0.5) / blockSize);
  const slot = key - page * blockSize;
  const kvHead = Math.floor((head + 0.5) / numSharing);
  const keyRow = blockTables[sequence]![page]! * numKvHeads + kvHead;
  let dot = 0;
  for (let d = 0; d < headDim; d++) {
    dot += q[row]![head]![d]! * keyCache[keyRow]![slot]![d]!;
  }
  let score = dot * scale;
  if (softCap > 0) {
    // softCap * tanh(score / softCap), without the overflow that a GPU's tanh may have.
    score = softCap * (1 - 2 / (1 + Math.exp(Math.min((2 * score) / softCap, 80))));
  }
  return score;
}

/** Threads (query head, row). Gives [largest score, sum of e^(score - largest)]. */
function softmaxOfScores(this: KernelThread, scores: Volume, places: Matrix, window: number): number[] {
  const head = this.thread.x;
  const row = this.thread.y;
  const position = places[row]![1]!;
  let numKeys = position + 1;
  if (window > 0) {
    numKeys = Math.min(numKeys, window);
  }
  let max = -3e38;
  for (let i = 0; i < numKeys; i++) {
    max = Math.max(max, scores[row]![head]![i]!);
  }
  let sum = 0;
  for (let j = 0; j < numKeys; j++) {
    sum += Math.exp(scores[row]![head]![j]! - max);
  }
  return [max, sum];
}

/** Threads (element d, query head, row). */
function sumValues(
  this: KernelThread,
  scores: Volume,
  softmax: Volume,
  valueCache: Volume,
  blockTables: Matrix,
  places: Matrix,
  numSharing: number,
  numKvHeads: number,
  blockSize: number,
  window: number,
): number {
  const d = this.thread.x;
  const head = this.thread.y;
  const row = this.thread.z;
  const sequence = places[row]![0]!;
  const position = places[row]![1]!;
  if (position < 0) {
    return 0;
  }
  let firstKey = 0;
  if (window > 0) {
    firstKey = Math.max(0, position - window + 1);
  }
  const numKeys = position + 1 - firstKey;
  const kvHead = Math.floor((head + 0.5) / numSharing);
  let sum = 0;
  for (let j = 0; j < numKeys; j++) {
    const key = firstKey + j;
    const page = Math.floor((key + 0.5) / blockSize);
    const slot = key - page * blockSize;
    const valueRow = blockTables[sequence]![page]! * numKvHeads + kvHead;
    const weight = Math.exp(scores[row]![head]![j]! - softmax[row]![head]![0]!);
    sum += weight * valueCache[valueRow]![slot]![d]!;
  }
  return sum / softmax[row]![head]![1]!;
}

export const LOCATE_ROWS: KernelSource = {
  kernel: locateRows,
  parameters: { queryStartLoc: 'i32', seqLens: 'i32', numSeqs: 'integer' },
  result: 'pair',
};

/** By the dtype of the cache, as are the values' below. */
export const ATTENTION_SCORES = { f32: scoresFor('f32'), f16: scoresFor('f16'), q8_0: scoresFor('q8_0') };

export const SUM_VALUES = { f32: valuesFor('f32'), f16: valuesFor('f16'), q8_0: valuesFor('q8_0') };

export const SOFTMAX_OF_SCORES: KernelSource = {
  kernel: softmaxOfScores,
  parameters: { scores: 'f32', places: 'f32', window: 'integer' },
  result: 'pair',
};

function scoresFor(keyCache: 'f32' | 'f16' | 'q8_0'): KernelSource {
  return {
    kernel: attentionScores,
    parameters: {
      q: 'f32',
      keyCache,
      blockTables: 'i32',
      places: 'f32',
      numSharing: 'integer',
      numKvHeads: 'integer',
      blockSize: 'integer',
      headDim: 'integer',
      window: 'integer',
      scale: 'float',
      softCap: 'float',
    },
    result: 'element',
  };
}

function valuesFor(valueCache: 'f32' | 'f16' | 'q8_0'): KernelSource {
  return {
    kernel: sumValues,
    parameters: {
      scores: 'f32',
      softmax: 'f32',
      valueCache,
      blockTables: 'i32',
      places: 'f32',
      numSharing: 'integer',
      numKvHeads: 'integer',
      blockSize: 'integer',
      window: 'integer',
    },
    result: 'element',
  };
}
