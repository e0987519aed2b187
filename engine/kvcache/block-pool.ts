/** Who uses which KV block: a reference count and a content hash per block, and the list of free ones.
 *
 *               allocate                    touch
 *    free  ------------------>  used (1)  --------->  used (2) ...
 *      ^                           |                     |
 *      +------- free (last) -------+<------- free -------+
 *
 * A block keeps its hash when it becomes free: it is then both free and cached, and either a prefix hit takes it back
 * (`touch`) or `allocate` evicts it. A free block can also be given content from elsewhere (`adopt`). Invariants: a block
 * is on the free list exactly when its count is 0; numFree + numUsed = numUsableBlocks. Block 0, the null block, is in
 * neither: it is never given out, stands in tables for "no block here", and makes every table entry a page that exists.
 * Knows no tokens, sequences or tables. */
import { InvalidArgumentError } from '../errors.ts';
import type { BlockHash } from './block-hash.ts';
import { checkCount } from './count-argument.ts';
import { type EvictionPolicy, lruEviction } from './eviction-policy.ts';
import { FreeBlockQueue } from './free-block-queue.ts';

/** The block that stands for none. */
export const NULL_BLOCK_ID = 0;

const NO_HASH = -1;

export interface BlockPoolOptions {
  /** Pages in the KV storage, the null block included. Minimum 2. */
  readonly numBlocks: number;
  /** Default: `lruEviction`. */
  readonly evictionPolicy?: EvictionPolicy;
  /** Called before a cached block is given out for other content. */
  readonly onEvict?: (blockId: number, hash: BlockHash) => void;
}

export class BlockPool {
  readonly numBlocks: number;
  readonly #refCounts: Int32Array;
  readonly #hashes: Float64Array;
  readonly #freeBlocks: FreeBlockQueue;
  readonly #evictionPolicy: EvictionPolicy;
  readonly #onEvict: ((blockId: number, hash: BlockHash) => void) | undefined;
  #numCached = 0;

  constructor(options: BlockPoolOptions) {
    checkCount('numBlocks', options.numBlocks, 2);
    this.numBlocks = options.numBlocks;
    this.#evictionPolicy = options.evictionPolicy ?? lruEviction;
    this.#onEvict = options.onEvict;
    this.#refCounts = new Int32Array(this.numBlocks);
    this.#hashes = new Float64Array(this.numBlocks).fill(NO_HASH);
    this.#freeBlocks = new FreeBlockQueue(this.numBlocks);
    for (let id = NULL_BLOCK_ID + 1; id < this.numBlocks; id++) this.#freeBlocks.pushBack(id);
  }

  get numUsableBlocks(): number {
    return this.numBlocks - 1;
  }

  /** Blocks that `allocate` can give out, cached ones among them. */
  get numFree(): number {
    return this.#freeBlocks.size;
  }

  get numUsed(): number {
    return this.numUsableBlocks - this.numFree;
  }

  /** Blocks with a hash, used or free. */
  get numCached(): number {
    return this.#numCached;
  }

  /** How many owners the block has; 0 when it is free. */
  refCount(blockId: number): number {
    return this.#refCounts[blockId]!;
  }

  hash(blockId: number): BlockHash | undefined {
    const hash = this.#hashes[blockId]!;
    return hash === NO_HASH ? undefined : hash;
  }

  /** A block with one owner and no hash, or `undefined` when none is free.
   * @param after  the block before it in the sequence, for policies that care */
  allocate(after?: number): number | undefined {
    if (this.#freeBlocks.size === 0) return undefined;
    const blockId = this.#evictionPolicy.chooseVictim(this.#freeBlocks, { after, isCached: this.#isCached });
    if (!this.#freeBlocks.has(blockId)) {
      throw new InvalidArgumentError('evictionPolicy', `chose block ${blockId}, which is not free`);
    }
    this.#freeBlocks.remove(blockId);
    const hash = this.hash(blockId);
    if (hash !== undefined) {
      this.clearHash(blockId);
      this.#onEvict?.(blockId, hash);
    }
    this.#refCounts[blockId] = 1;
    return blockId;
  }

  /** One owner more. The block is in use, or free with its content kept. */
  touch(blockId: number): void {
    this.#checkOwnable(blockId);
    if (this.#refCounts[blockId] === 0) this.#freeBlocks.remove(blockId);
    this.#refCounts[blockId]!++;
  }

  /** One owner fewer. Without owners, a cached block is kept as long as possible, any other is reused first.
   * @throws InvalidArgumentError when the block has no owner. */
  free(blockId: number): void {
    this.#checkOwnable(blockId);
    if (this.#refCounts[blockId] === 0) {
      throw new InvalidArgumentError('blockId', `block ${blockId} is free already`);
    }
    if (--this.#refCounts[blockId]! > 0) return;
    if (this.#hashes[blockId] === NO_HASH) this.#freeBlocks.pushFront(blockId);
    else this.#freeBlocks.pushBack(blockId);
  }

  /** Says what a block in use holds. It must have no hash yet. */
  setHash(blockId: number, hash: BlockHash): void {
    if (this.#refCounts[blockId] === 0 || this.#hashes[blockId] !== NO_HASH) {
      throw new InvalidArgumentError('blockId', `block ${blockId} must be in use and without a hash to be given one`);
    }
    this.#hashes[blockId] = hash;
    this.#numCached++;
  }

  /** Says what a free block without content is about to hold, and leaves it free. It keeps its place in the order of
   * reuse: the last of `emptyBlockIds` comes just before all content that is here already. */
  adopt(blockId: number, hash: BlockHash): void {
    if (!this.isEmpty(blockId)) {
      throw new InvalidArgumentError('blockId', `block ${blockId} must be free and without a hash to be adopted`);
    }
    this.#hashes[blockId] = hash;
    this.#numCached++;
  }

  /** Forgets what a block holds. */
  clearHash(blockId: number): void {
    if (this.#hashes[blockId] === NO_HASH) return;
    this.#hashes[blockId] = NO_HASH;
    this.#numCached--;
  }

  /** True for a free block that holds nothing. */
  isEmpty(blockId: number): boolean {
    return this.#freeBlocks.has(blockId) && this.#hashes[blockId] === NO_HASH;
  }

  /** The free blocks that hold nothing, in the order of reuse. */
  emptyBlockIds(): number[] {
    return this.freeBlockIds().filter((blockId) => this.#hashes[blockId] === NO_HASH);
  }

  /** The free blocks, in the order of reuse. */
  freeBlockIds(): number[] {
    return [...this.#freeBlocks];
  }

  readonly #isCached = (blockId: number): boolean => this.#hashes[blockId] !== NO_HASH;

  #checkOwnable(blockId: number): void {
    if (!(blockId > NULL_BLOCK_ID && blockId < this.numBlocks)) {
      throw new InvalidArgumentError('blockId', `must be from 1 to ${this.numBlocks - 1}, got ${blockId}`);
    }
  }
}
