/** The tokens that may still be chosen at one position, with their logits: what processors work on.
 *
 * One object serves every request of an engine, one position after another; it allocates when made and never again.
 *
 *   place    0     1     2     3   | size = 4
 *   ids      3     7    42   977   | ascending, always: dropping keeps the order, so ties fall to the lower id
 *   logits  2.5  -1.0   0.3  -inf  | higher is likelier; -Infinity is banned; never NaN
 *   probs   .86   .03   .11    0   | of the last `softmax()`; stale after any change
 *
 * Knows nothing of requests, options or where the logits came from. */
import { ShapeError } from '../errors.ts';
import { BestPrefix } from './best-prefix.ts';
import { kBest } from './k-best.ts';

export class Candidates {
  readonly vocabSize: number;
  readonly ids: Int32Array;
  readonly logits: Float64Array;
  readonly probs: Float64Array;
  /** Scratch: a processor's own order, when it is not the logits'. */
  readonly scores: Float64Array;
  /** Scratch by token id. All zero between processors: who writes here cleans up. */
  readonly marks: Uint32Array;
  readonly #bestPrefix: BestPrefix;
  /** Scratch of `keepTop`. */
  readonly #places: Int32Array;
  #size = 0;

  constructor(vocabSize: number) {
    this.vocabSize = vocabSize;
    this.ids = new Int32Array(vocabSize);
    this.logits = new Float64Array(vocabSize);
    this.probs = new Float64Array(vocabSize);
    this.scores = new Float64Array(vocabSize);
    this.marks = new Uint32Array(vocabSize);
    this.#bestPrefix = new BestPrefix(vocabSize);
    this.#places = new Int32Array(Math.ceil(vocabSize / 16));
  }

  /** How many candidates are left. Places from `size` on hold nothing. */
  get size(): number {
    return this.#size;
  }

  get byteLength(): number {
    const { ids, logits, probs, scores, marks } = this;
    const arrays = [ids, logits, probs, scores, marks, this.#bestPrefix, this.#places];
    return arrays.reduce((bytes, array) => bytes + array.byteLength, 0);
  }

  /** Starts over with a row of logits, all tokens being candidates. NaN becomes -Infinity: it is never chosen.
   * Shapes  row [vocabSize]; read, not kept
   * Errors  ShapeError */
  load(row: Float32Array | Float64Array): void {
    const { ids, logits, vocabSize } = this;
    if (row.length !== vocabSize) throw new ShapeError('sampling', `${vocabSize} logits`, `${row.length}`);
    for (let id = 0; id < vocabSize; id++) {
      const logit = row[id]!;
      ids[id] = id;
      logits[id] = nanAsBanned(logit);
    }
    this.#size = vocabSize;
  }

  /** The same as `load` and then `keepTop(k)`, without touching the tokens that are dropped anyway.
   * Shapes  row [vocabSize]; read, not kept
   * Errors  ShapeError */
  loadTop(row: Float32Array | Float64Array, k: number): void {
    const { ids, logits, vocabSize } = this;
    if (row.length !== vocabSize) throw new ShapeError('sampling', `${vocabSize} logits`, `${row.length}`);
    this.#size = kBest(row, vocabSize, k, ids);
    for (let place = 0; place < this.#size; place++) logits[place] = nanAsBanned(row[ids[place]!]!);
  }

  /** Starts over with no candidate; `add` brings them in. */
  clear(): void {
    this.#size = 0;
  }

  /** One more candidate, of a higher id than all before. NaN becomes -Infinity. */
  add(tokenId: number, logit: number): void {
    this.ids[this.#size] = tokenId;
    this.logits[this.#size] = nanAsBanned(logit);
    this.#size += 1;
  }

  /** Keeps the candidates at these places, which ascend. */
  keepPlaces(places: readonly number[]): void {
    const { ids, logits } = this;
    for (const [i, place] of places.entries()) {
      ids[i] = ids[place]!;
      logits[i] = logits[place]!;
    }
    this.#size = places.length;
  }

  /** Keeps the `k` highest logits, the lower ids among equals. */
  keepTop(k: number): void {
    const { ids, logits } = this;
    if (k >= this.#size) return;
    // With many to keep the heap of the best would be slower than sorting into buckets.
    if (k > this.#size / 16) {
      this.keepBest(logits, undefined, k);
      return;
    }
    this.#size = kBest(logits, this.#size, k, this.#places);
    for (let i = 0; i < this.#size; i++) {
      const place = this.#places[i]!; // ascending and never below i: nothing is overwritten before it is read
      ids[i] = ids[place]!;
      logits[i] = logits[place]!;
    }
  }

  /** Where a token stands, or -1 when it was dropped. */
  placeOf(tokenId: number): number {
    const { ids } = this;
    // ids[place] >= place, and equal as long as nothing below was dropped: the usual case.
    if (tokenId < this.#size && ids[tokenId] === tokenId) return tokenId;
    let low = 0;
    let high = this.#size - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const id = ids[middle]!;
      if (id === tokenId) return middle;
      if (id < tokenId) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** The highest logit; -Infinity when every candidate is banned. */
  maxLogit(): number {
    const { logits } = this;
    let max = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.#size; i++) {
      if (logits[i]! > max) max = logits[i]!;
    }
    return max;
  }

  /** Fills `probs`: exp(logit) over the sum of all exp(logit). They sum to 1, or are all 0 if every candidate is banned.
   * Candidates at +Infinity, if there are any, share everything between them (the limit). */
  softmax(): void {
    const { logits, probs } = this;
    const size = this.#size;
    const max = this.maxLogit(); // subtracted first, so that exp never overflows
    if (max === Number.NEGATIVE_INFINITY) {
      probs.fill(0, 0, size);
      return;
    }
    let sum = 0;
    for (let i = 0; i < size; i++) {
      const weight = logits[i] === max ? 1 : Math.exp(logits[i]! - max);
      probs[i] = weight;
      sum += weight;
    }
    const scale = 1 / sum;
    for (let i = 0; i < size; i++) probs[i]! *= scale;
  }

  /** Keeps the fewest candidates, those with the highest keys first and lower ids first among equals, whose weights
   * together reach `target`; at least one. Without `weights` each weighs 1. Keys and weights are by place. */
  keepBest(keys: Float64Array, weights: Float64Array | undefined, target: number): void {
    const { ids, logits } = this;
    const best = this.#bestPrefix;
    const size = this.#size;
    best.select(keys, weights, size, target);
    let end = 0;
    for (let i = 0; i < size; i++) {
      if (!best.has(i)) continue;
      ids[end] = ids[i]!;
      logits[end] = logits[i]!;
      end += 1;
    }
    this.#size = end;
  }

  /** Drops every candidate whose logit is below `minLogit`. */
  dropBelow(minLogit: number): void {
    const { ids, logits } = this;
    const size = this.#size;
    let end = 0;
    for (let i = 0; i < size; i++) {
      if (logits[i]! < minLogit) continue;
      ids[end] = ids[i]!;
      logits[end] = logits[i]!;
      end += 1;
    }
    this.#size = end;
  }
}

function nanAsBanned(logit: number): number {
  return Number.isNaN(logit) ? Number.NEGATIVE_INFINITY : logit;
}
