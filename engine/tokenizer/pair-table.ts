/** A hash table from two integers to two integers in one typed array: some 300,000 merge rules fit into 8 MB, a lookup
 * allocates nothing and touches one cache line. Open addressing with linear probing; entries are never removed singly.
 *
 *   slot 0                     slot 1                     slot 2       (the number of slots is a power of two)
 *   [left right rank merged |  left right rank merged  |  -1 ...
 *                                                          left -1: free */

const FREE = -1;
const STRIDE = 4;
const RIGHT = 1;
const RANK = 2;
const MERGED = 3;

export class PairTable {
  readonly #entries: Int32Array;
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
    this.#entries = new Int32Array(STRIDE * 2 ** bits);
    this.#leftFactor = Math.floor(Math.random() * 2 ** 32) | 1;
    this.#rightFactor = Math.floor(Math.random() * 2 ** 32) | 1;
    this.clear();
  }

  get size(): number {
    return this.#size;
  }

  /** The slot of a pair (both at least 0), or -1. Valid until the next `add` or `clear`. */
  find(left: number, right: number): number {
    const slot = this.#probe(left, right);
    return this.#entries[slot] === FREE ? -1 : slot;
  }

  rank(slot: number): number {
    return this.#entries[slot + RANK]!;
  }

  merged(slot: number): number {
    return this.#entries[slot + MERGED]!;
  }

  /** Stores an entry unless the pair is there already. Returns its slot. The caller keeps within `maxSize`. */
  add(left: number, right: number, rank: number, merged: number): number {
    const slot = this.#probe(left, right);
    const entries = this.#entries;
    if (entries[slot] !== FREE) return slot;
    entries[slot] = left;
    entries[slot + RIGHT] = right;
    entries[slot + RANK] = rank;
    entries[slot + MERGED] = merged;
    this.#size++;
    return slot;
  }

  clear(): void {
    for (let slot = 0; slot < this.#entries.length; slot += STRIDE) this.#entries[slot] = FREE;
    this.#size = 0;
  }

  /** The pair's slot, or the free slot where it would go. A slot is the index of its first number. */
  #probe(left: number, right: number): number {
    const entries = this.#entries;
    const mask = entries.length - 1;
    const hash = Math.imul(left, this.#leftFactor) + Math.imul(right, this.#rightFactor);
    let slot = (hash >>> this.#shift) * STRIDE;
    while (entries[slot] !== FREE && (entries[slot] !== left || entries[slot + RIGHT] !== right))
      slot = (slot + STRIDE) & mask;
    return slot;
  }
}
