/** A hash table from two integers to two integers, in typed arrays: some 300,000 merge rules fit into 8 MB and a lookup
 * allocates nothing. Open addressing with linear probing; entries are never removed one by one.
 *
 *   slot      0     1     2     3        (capacity is a power of two)
 *   lefts   [ -1 |  12 |  -1 |   5 ]     -1: free
 *   rights  [    |   7 |     |   9 ]
 *   ranks   [    |   0 |     |   3 ]
 *   merged  [    | 300 |     | 301 ]  */

const FREE = -1;

export class PairTable {
  /** Read with the slot that `find` or `add` just returned. */
  readonly ranks: Int32Array;
  readonly merged: Int32Array;
  readonly #lefts: Int32Array;
  readonly #rights: Int32Array;
  readonly #shift: number;
  /** Odd multipliers drawn per table: with fixed ones a hostile file could choose pairs that all collide. They decide
   * where an entry lies, never what is found. */
  readonly #leftFactor: number;
  readonly #rightFactor: number;
  #size = 0;

  /** @param maxSize  most entries it will hold */
  constructor(maxSize: number) {
    const bits = Math.max(4, Math.ceil(Math.log2(maxSize * 1.5 + 1)));
    this.#shift = 32 - bits;
    this.#lefts = new Int32Array(2 ** bits).fill(FREE);
    this.#rights = new Int32Array(2 ** bits);
    this.ranks = new Int32Array(2 ** bits);
    this.merged = new Int32Array(2 ** bits);
    this.#leftFactor = Math.floor(Math.random() * 2 ** 32) | 1;
    this.#rightFactor = Math.floor(Math.random() * 2 ** 32) | 1;
  }

  get size(): number {
    return this.#size;
  }

  /** The slot of a pair (both at least 0), or -1. */
  find(left: number, right: number): number {
    const slot = this.#probe(left, right);
    return this.#lefts[slot] === FREE ? -1 : slot;
  }

  /** Stores an entry unless the pair is there already. Returns its slot. The caller keeps within `maxSize`. */
  add(left: number, right: number, rank: number, merged: number): number {
    const slot = this.#probe(left, right);
    if (this.#lefts[slot] !== FREE) return slot;
    this.#lefts[slot] = left;
    this.#rights[slot] = right;
    this.ranks[slot] = rank;
    this.merged[slot] = merged;
    this.#size++;
    return slot;
  }

  clear(): void {
    this.#lefts.fill(FREE);
    this.#size = 0;
  }

  /** The pair's slot, or the free slot where it would go. */
  #probe(left: number, right: number): number {
    const lefts = this.#lefts;
    const mask = lefts.length - 1;
    const hash = Math.imul(left, this.#leftFactor) + Math.imul(right, this.#rightFactor);
    let slot = hash >>> this.#shift;
    while (lefts[slot] !== FREE && (lefts[slot] !== left || this.#rights[slot] !== right)) slot = (slot + 1) & mask;
    return slot;
  }
}
