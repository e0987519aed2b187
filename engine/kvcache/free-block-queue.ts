/** The free blocks in the order in which they will be reused: least worth keeping first.
 *
 * A doubly linked list over typed arrays, so that a block can leave from the middle (a prefix hit takes it back
 * into use) in O(1) and nothing is ever allocated. Entry `numBlocks` is a sentinel that closes the ring:
 *
 *            +-----------------------------------------------+
 *            v                                               |
 *   sentinel -> 7 -> 3 -> 12 -> ... -> 5 -> (back to sentinel)
 *              first: next to go       last: most recently freed
 *
 * Knows block ids only; who may be on the list is the pool's business. */
import { checkCount } from './count-argument.ts';

/** Marks a block that is not on the list. */
const ABSENT = -1;

export class FreeBlockQueue {
  readonly #next: Int32Array;
  readonly #prev: Int32Array;
  readonly #sentinel: number;
  /** Numbers that rise from the first block to the last. */
  readonly #stamps: Float64Array;
  #firstStamp = 0;
  #lastStamp = 0;
  #size = 0;

  /** An empty list that can hold block ids 0 to `numBlocks` - 1. */
  constructor(numBlocks: number) {
    checkCount('numBlocks', numBlocks);
    this.#sentinel = numBlocks;
    this.#next = new Int32Array(numBlocks + 1).fill(ABSENT);
    this.#prev = new Int32Array(numBlocks + 1).fill(ABSENT);
    this.#stamps = new Float64Array(numBlocks);
    this.#next[numBlocks] = numBlocks;
    this.#prev[numBlocks] = numBlocks;
  }

  /** Block ids that it can hold. */
  get capacity(): number {
    return this.#sentinel;
  }

  get size(): number {
    return this.#size;
  }

  /** The block to reuse next. */
  get first(): number | undefined {
    return this.#size === 0 ? undefined : this.#next[this.#sentinel]!;
  }

  has(blockId: number): boolean {
    return blockId !== this.#sentinel && (this.#next[blockId] ?? ABSENT) !== ABSENT;
  }

  /** Rises from the first block to the last, by at least 1 from each to the next. The block must be on the list. */
  stampOf(blockId: number): number {
    return this.#stamps[blockId]!;
  }

  /** To be reused after all others. The block must not be on the list. */
  pushBack(blockId: number): void {
    this.#stamps[blockId] = ++this.#lastStamp;
    this.#insert(this.#prev[this.#sentinel]!, blockId);
  }

  /** To be reused before all others. The block must not be on the list. */
  pushFront(blockId: number): void {
    this.#stamps[blockId] = --this.#firstStamp;
    this.#insert(this.#sentinel, blockId);
  }

  /** Takes a block out, wherever it is. It must be on the list. */
  remove(blockId: number): void {
    const before = this.#prev[blockId]!;
    const after = this.#next[blockId]!;
    this.#next[before] = after;
    this.#prev[after] = before;
    this.#next[blockId] = ABSENT;
    this.#prev[blockId] = ABSENT;
    this.#size--;
  }

  /** First to last. */
  *[Symbol.iterator](): Generator<number> {
    for (let id = this.#next[this.#sentinel]!; id !== this.#sentinel; id = this.#next[id]!) yield id;
  }

  #insert(before: number, blockId: number): void {
    const after = this.#next[before]!;
    this.#next[before] = blockId;
    this.#prev[blockId] = before;
    this.#next[blockId] = after;
    this.#prev[after] = blockId;
    this.#size++;
  }
}
