/** The pages of one sequence, in order: entry i holds the tokens i * blockSize to (i + 1) * blockSize - 1.
 *
 *   tokens     0 .. 3   4 .. 7   8 .. 11   12 .. 14
 *   blockIds  [   0    |   7    |   12    |    3    ]      0: freed behind the sliding window (numNullBlocks = 1)
 *   links     [   *    |   *    |    *    ]                full blocks that the prefix cache knows
 *
 * A record that `KvCacheManager` alone writes to. */
import { NULL_BLOCK_ID } from './block-pool.ts';
import type { ChainLink } from './prefix-cache.ts';

export class BlockTable {
  #blockIds = new Int32Array(8);
  #length = 0;
  /** Leading entries that are the null block. */
  numNullBlocks = 0;
  /** One link per leading full block that is in the prefix cache. */
  readonly links: ChainLink[] = [];

  get length(): number {
    return this.#length;
  }

  /** Blocks that the sequence holds a reference to. */
  get numHeldBlocks(): number {
    return this.#length - this.numNullBlocks;
  }

  /** Undefined for an empty table. */
  get lastBlockId(): number | undefined {
    return this.#length === 0 ? undefined : this.#blockIds[this.#length - 1];
  }

  at(index: number): number {
    return this.#blockIds[index]!;
  }

  push(blockId: number): void {
    if (this.#length === this.#blockIds.length) {
      const grown = new Int32Array(this.#length * 2);
      grown.set(this.#blockIds);
      this.#blockIds = grown;
    }
    this.#blockIds[this.#length++] = blockId;
    if (blockId === NULL_BLOCK_ID) this.numNullBlocks++;
  }

  replace(index: number, blockId: number): void {
    this.#blockIds[index] = blockId;
  }

  /** Replaces the first entry that is not null yet by the null block and returns what it was. */
  dropFirst(): number {
    const blockId = this.#blockIds[this.numNullBlocks]!;
    this.#blockIds[this.numNullBlocks++] = NULL_BLOCK_ID;
    return blockId;
  }

  /** The entries, without copying: valid until the table changes. */
  view(): Int32Array {
    return this.#blockIds.subarray(0, this.#length);
  }
}
