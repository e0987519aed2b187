/** Byte-pair encoding's one loop: merge the best adjacent pair until no rule applies. Every BPE vocabulary here uses it;
 * they differ in what the first symbols are and where the rules come from.
 *
 *   symbols   t  h  e  ␣  c  a  t        rules, best first: (t,h) (c,a) (th,e)
 *             th .  e  ␣  c  a  t
 *             th .  e  ␣  ca .  t        symbols form a linked list; a merge unlinks its right half
 *             the.  .  ␣  ca .  t
 *
 * The best pair comes from a heap, and a merge changes only its two neighbours, so n symbols cost O(n log n): each merge
 * removes one symbol and asks for at most two new rules. (The obvious loop, scanning all pairs for each merge, costs
 * O(n²): a megabyte of one letter would take minutes.)
 *
 * Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units". */
import { MinHeap } from './min-heap.ts';

/** Which pairs of symbols merge, into what, and how soon. */
export interface MergeRules {
  /** The slot of the rule for a pair of ids, or -1. Valid until the next call. */
  find(left: number, right: number): number;
  /** Of the rule in a slot. Lower merges first; equal ranks merge from the left. Less than 2^21. */
  rank(slot: number): number;
  /** The id that the pair becomes. */
  merged(slot: number): number;
}

/** Kept between calls; a longer piece gets arrays of its own, so that one huge text does not hold memory afterwards. */
const KEPT_CAPACITY = 1024;
const NO_RULE = -1;
/** A heap key is rank x 2^32 + position: smallest rank first, then leftmost. Exact in a double while ranks stay under 2^21. */
const RANK_UNIT = 2 ** 32;

class MergeScratch {
  readonly previous: Int32Array;
  readonly next: Int32Array;
  /** Of the pair that starts at this symbol: rank (or NO_RULE) and what it merges into. */
  readonly pairRank: Int32Array;
  readonly pairMerged: Int32Array;
  readonly heap: MinHeap;

  constructor(capacity: number) {
    this.previous = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
    this.pairRank = new Int32Array(capacity);
    this.pairMerged = new Int32Array(capacity);
    this.heap = new MinHeap(capacity);
  }
}

export class BpeMerger {
  readonly #rules: MergeRules;
  readonly #kept = new MergeScratch(KEPT_CAPACITY);

  constructor(rules: MergeRules) {
    this.#rules = rules;
  }

  /** Merges `symbols[0 .. count)` in place and returns how many are left. Negative symbols never merge. */
  merge(symbols: Int32Array, count: number): number {
    if (count < 2) return count;
    const scratch = count <= KEPT_CAPACITY ? this.#kept : new MergeScratch(count);
    const { previous, next, pairRank, pairMerged, heap } = scratch;
    heap.clear();
    for (let i = 0; i < count; i++) {
      previous[i] = i - 1;
      next[i] = i + 1 < count ? i + 1 : -1;
    }
    for (let i = 0; i < count; i++) this.#offer(scratch, symbols, i);

    while (heap.size > 0) {
      const key = heap.pop();
      const rank = Math.floor(key / RANK_UNIT);
      const left = key - rank * RANK_UNIT;
      // The pair here may have changed since the key was pushed; a pair of the same rank is as good.
      if (pairRank[left] !== rank) continue;
      const right = next[left]!;
      symbols[left] = pairMerged[left]!;
      next[left] = next[right]!;
      if (next[right]! >= 0) previous[next[right]!] = left;
      pairRank[right] = NO_RULE;
      if (previous[left]! >= 0) this.#offer(scratch, symbols, previous[left]!);
      this.#offer(scratch, symbols, left);
    }

    let numLeft = 0;
    for (let i = 0; i >= 0; i = next[i]!) symbols[numLeft++] = symbols[i]!;
    return numLeft;
  }

  /** Looks up the pair that starts at `left` and queues it. */
  #offer(scratch: MergeScratch, symbols: Int32Array, left: number): void {
    scratch.pairRank[left] = NO_RULE;
    const right = scratch.next[left]!;
    if (right < 0 || symbols[left]! < 0 || symbols[right]! < 0) return;
    const slot = this.#rules.find(symbols[left]!, symbols[right]!);
    if (slot < 0) return;
    const rank = this.#rules.rank(slot);
    scratch.pairRank[left] = rank;
    scratch.pairMerged[left] = this.#rules.merged(slot);
    scratch.heap.push(rank * RANK_UNIT + left);
  }
}
