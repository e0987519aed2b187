/** Gives sequences the blocks for their keys and values, shares equal prefixes, and takes blocks back.
 *
 * Owns every block table and, through `BlockPool`, every reference count. Knows token ids, block ids and counts: no
 * tensor, no scheduling policy, no time. What has to happen to the bytes is told as a list of block copies.
 *
 * Source  Kwon et al. 2023, "Efficient Memory Management for LLM Serving with PagedAttention" */
import { ContextLengthError, InvalidArgumentError } from '../errors.ts';
import { BlockGeometry } from './block-geometry.ts';
import { BlockPool, NULL_BLOCK_ID } from './block-pool.ts';
import { BlockTable } from './block-table.ts';
import { CachedContent } from './cached-content.ts';
import { lruInRuns } from './eviction-policy.ts';
import type {
  AllocateOptions,
  BlockCopy,
  CacheableSequence,
  KvCacheManagerOptions,
  KvCacheStats,
} from './kv-cache-options.ts';
import { PrefixCache, type PrefixMatch } from './prefix-cache.ts';

const NO_PREFIX: PrefixMatch = { blockIds: [], links: [] };

export class KvCacheManager {
  readonly geometry: BlockGeometry;
  /** Blocks to keep free when admitting. */
  readonly watermarkBlocks: number;
  /** The cached blocks as something to copy out and to add to. Absent without prefix caching. */
  readonly cachedContent: CachedContent | undefined;
  readonly #pool: BlockPool;
  readonly #prefixCache: PrefixCache | undefined;
  readonly #tables = new Map<number, BlockTable>();
  #blockCopies: BlockCopy[] = [];
  #queries = 0;
  #hits = 0;

  /** @throws InvalidArgumentError */
  constructor(options: KvCacheManagerOptions) {
    const { numBlocks, blockSize, slidingWindow, watermark = 0.01 } = options;
    if (!(watermark >= 0 && watermark < 1)) {
      throw new InvalidArgumentError('watermark', `must be from 0 to below 1, got ${watermark}`);
    }
    this.geometry = new BlockGeometry(blockSize, slidingWindow);
    const { evictionPolicy = lruInRuns, modelFingerprint = '', enablePrefixCaching = true } = options;
    const prefixCache = enablePrefixCaching ? new PrefixCache({ blockSize, modelFingerprint }) : undefined;
    this.#prefixCache = prefixCache;
    this.#pool = new BlockPool({
      numBlocks,
      evictionPolicy,
      onEvict: (blockId, hash) => prefixCache?.remove(blockId, hash),
    });
    this.cachedContent = prefixCache && new CachedContent(this.#pool, prefixCache);
    this.watermarkBlocks = Math.floor(watermark * this.#pool.numUsableBlocks);
  }

  /** The longest cached prefix of a sequence that has no blocks yet. Changes nothing: hand it to `allocateSlots` before
   * any other call to the manager. */
  getComputedBlocks(sequence: CacheableSequence): PrefixMatch {
    return this.#prefixCache?.match(sequence.tokenIds, sequence.numTokens, sequence.cacheSalt) ?? NO_PREFIX;
  }

  /** Makes room for `numNewTokens` after the sequence's computed tokens (or after `prefix`). All or nothing.
   * @returns `undefined` when too few blocks are free now. Blocks behind the sliding window are freed either way. */
  allocateSlots(sequence: CacheableSequence, numNewTokens: number, options: AllocateOptions = {}): true | undefined {
    const { prefix = NO_PREFIX, keepFree = 0 } = options;
    const { geometry } = this;
    const existing = this.#tables.get(sequence.id);
    if (existing !== undefined && prefix.blockIds.length > 0) {
      throw new InvalidArgumentError('prefix', `sequence ${sequence.id} has blocks already`);
    }
    const numPrefixBlocks = prefix.blockIds.length;
    const numComputed = existing === undefined ? numPrefixBlocks * geometry.blockSize : sequence.numComputedTokens;
    const numSkipped = geometry.numBlocksBehindWindow(numComputed);
    if (existing !== undefined) this.#dropBehindWindow(existing, numSkipped);

    const table = existing ?? new BlockTable();
    const numHave = existing === undefined ? numPrefixBlocks : table.length;
    const numNewBlocks = Math.max(0, geometry.numBlocks(numComputed + numNewTokens) - numHave);
    const sharedIndex = existing === undefined ? undefined : this.#sharedBlockWrittenAt(table, numComputed);
    const numTaken = this.#numFreeAmong(prefix.blockIds, numSkipped);
    const numNeeded = numNewBlocks + numTaken + (sharedIndex === undefined ? 0 : 1);
    if (numNeeded + keepFree > this.#pool.numFree) return undefined;

    // The prefix first: once it is owned, making room for the rest cannot evict it.
    if (existing === undefined) this.#begin(sequence, table, prefix, numSkipped);
    if (sharedIndex !== undefined) this.#copyOnWrite(table, sharedIndex);
    else this.#forgetBeforeWriting(table, numComputed);
    for (let i = 0; i < numNewBlocks; i++) table.push(this.#pool.allocate(table.lastBlockId)!);
    return true;
  }

  /** Puts the full blocks among the sequence's computed tokens into the prefix cache. Call it after the step that
   * computed them: a block is findable only when its keys and values are there. */
  cacheFullBlocks(sequence: CacheableSequence): void {
    const table = this.#tables.get(sequence.id);
    const cache = this.#prefixCache;
    if (cache === undefined || table === undefined) return;
    const numFull = Math.floor(sequence.numComputedTokens / this.geometry.blockSize);
    for (let i = table.links.length; i < numFull; i++) {
      const blockId = table.at(i);
      const parent = table.links[i - 1] ?? cache.root(sequence.cacheSalt);
      const link = cache.insert(parent, sequence.tokenIds, i * this.geometry.blockSize, blockId);
      if (link === undefined) return;
      // A fork may have put the shared block there already.
      if (this.#pool.hash(blockId) === undefined) this.#pool.setHash(blockId, link.hash);
      table.links.push(link);
    }
  }

  /** Lets `child` begin with the parent's blocks of its first `numTokens` computed tokens, full and partial ones. Costs no
   * block now; whoever writes into a shared block first gets a copy (copy-on-write).
   * @returns `undefined` when the parent no longer has those blocks (preempted, or behind its sliding window)
   * @throws InvalidArgumentError when the child has blocks, or its tokens or salt differ from the parent's */
  fork(parent: CacheableSequence, child: CacheableSequence, numTokens: number): true | undefined {
    this.#checkFork(parent, child, numTokens);
    const source = this.#tables.get(parent.id);
    const numSkipped = this.geometry.numBlocksBehindWindow(numTokens);
    if (source === undefined || source.numNullBlocks > numSkipped) return undefined;
    if (numTokens > parent.numComputedTokens) return undefined;
    const table = new BlockTable();
    const numBlocks = this.geometry.numBlocks(numTokens);
    for (let i = 0; i < numBlocks; i++) {
      const blockId = i < numSkipped ? NULL_BLOCK_ID : source.at(i);
      if (i >= numSkipped) this.#pool.touch(blockId);
      table.push(blockId);
    }
    table.links.push(...source.links.slice(0, Math.floor(numTokens / this.geometry.blockSize)));
    this.#tables.set(child.id, table);
    return true;
  }

  /** Gives back all blocks of a sequence, the last first, so that a prompt's tail is evicted before its head. Nothing
   * happens when it has none. */
  free(sequenceId: number): void {
    const table = this.#tables.get(sequenceId);
    if (table === undefined) return;
    for (let i = table.length - 1; i >= table.numNullBlocks; i--) this.#pool.free(table.at(i));
    this.#tables.delete(sequenceId);
    this.#dropUnwantedCopies();
  }

  /** The sequence's block table, not a copy: valid until the next change. Empty when it has none. */
  blockTable(sequenceId: number): Int32Array {
    return this.#tables.get(sequenceId)?.view() ?? new Int32Array(0);
  }

  /** The copies that became due since the last call, for the runner to carry out before the step. */
  takeBlockCopies(): readonly BlockCopy[] {
    const copies = this.#blockCopies;
    if (copies.length > 0) this.#blockCopies = [];
    return copies;
  }

  numHeldBlocks(sequenceId: number): number {
    return this.#tables.get(sequenceId)?.numHeldBlocks ?? 0;
  }

  /** @throws ContextLengthError when the whole pool could not hold such a sequence. */
  checkCapacity(numTokens: number, maxChunk: number): void {
    if (this.geometry.maxHeldBlocks(numTokens, maxChunk) <= this.#pool.numUsableBlocks) return;
    throw new ContextLengthError(
      numTokens,
      this.#pool.numUsableBlocks * this.geometry.blockSize,
      'that is the whole KV cache; raise kvCacheBytes, shorten the prompt or lower max_tokens',
    );
  }

  /** Forgets all cached content, for instance after the storage was lost.
   * @returns `undefined` when sequences still hold blocks */
  resetPrefixCache(): true | undefined {
    if (this.#pool.numUsed > 0) return undefined;
    for (let id = NULL_BLOCK_ID + 1; id < this.#pool.numBlocks; id++) this.#pool.clearHash(id);
    this.#prefixCache?.clear();
    return true;
  }

  stats(): KvCacheStats {
    const { numUsableBlocks, numUsed, numFree, numCached } = this.#pool;
    const counts = { numUsableBlocks, used: numUsed, free: numFree, cached: numCached };
    return { ...counts, queries: this.#queries, hits: this.#hits };
  }

  /** Checks, in time proportional to the pool, that every reference count equals the number of tables with the block.
   * For tests and for hunting leaks.
   * @returns a sentence about the first block that is wrong, `undefined` when all is well */
  findInconsistency(): string | undefined {
    const owners = new Int32Array(this.#pool.numBlocks);
    for (const table of this.#tables.values()) {
      for (let i = table.numNullBlocks; i < table.length; i++) owners[table.at(i)]!++;
    }
    const free = new Set(this.#pool.freeBlockIds());
    for (let id = 0; id < this.#pool.numBlocks; id++) {
      const count = this.#pool.refCount(id);
      const shouldBeFree = id !== NULL_BLOCK_ID && count === 0;
      if (count === owners[id] && free.has(id) === shouldBeFree) continue;
      return `block ${id}: ${count} references, ${owners[id]} owners, ${free.has(id) ? 'free' : 'not free'}`;
    }
    return undefined;
  }

  #begin(sequence: CacheableSequence, table: BlockTable, prefix: PrefixMatch, numSkipped: number): void {
    for (const [i, blockId] of prefix.blockIds.entries()) {
      this.#pool.touch(blockId);
      // Behind the window nobody reads the block, but it was asked for: back to the end of the eviction order.
      if (i < numSkipped) this.#pool.free(blockId);
      table.push(i < numSkipped ? NULL_BLOCK_ID : blockId);
    }
    table.links.push(...prefix.links);
    this.#tables.set(sequence.id, table);
    if (prefix === NO_PREFIX) return;
    this.#queries += sequence.numTokens;
    this.#hits += prefix.blockIds.length * this.geometry.blockSize;
  }

  /** Index of the block that the next token goes into, when others use that block too. */
  #sharedBlockWrittenAt(table: BlockTable, position: number): number | undefined {
    const index = Math.floor(position / this.geometry.blockSize);
    if (index >= table.length || this.#pool.refCount(table.at(index)) === 1) return undefined;
    return index;
  }

  #copyOnWrite(table: BlockTable, index: number): void {
    const source = table.at(index);
    const target = this.#pool.allocate(index === 0 ? undefined : table.at(index - 1))!;
    this.#blockCopies.push({ source, target });
    table.replace(index, target);
    this.#pool.free(source);
  }

  /** A copy that was not carried out yet and whose target nobody owns any more must never be: the block may serve another
   * sequence, or hold restored content, by then. */
  #dropUnwantedCopies(): void {
    if (this.#blockCopies.length === 0) return;
    this.#blockCopies = this.#blockCopies.filter(({ target }) => this.#pool.refCount(target) > 0);
  }

  /** The sole owner of a cached block writes in place; what the cache knew of it is no longer so. This happens when a
   * fork begins inside a block that its parent, now gone, had filled. */
  #forgetBeforeWriting(table: BlockTable, position: number): void {
    const index = Math.floor(position / this.geometry.blockSize);
    if (index >= table.length) return;
    const blockId = table.at(index);
    const hash = this.#pool.hash(blockId);
    if (hash === undefined) return;
    this.#pool.clearHash(blockId);
    this.#prefixCache?.remove(blockId, hash);
  }

  #dropBehindWindow(table: BlockTable, numSkipped: number): void {
    while (table.numNullBlocks < Math.min(numSkipped, table.length)) this.#pool.free(table.dropFirst());
  }

  #numFreeAmong(blockIds: readonly number[], from: number): number {
    let count = 0;
    for (let i = from; i < blockIds.length; i++) {
      if (this.#pool.refCount(blockIds[i]!) === 0) count++;
    }
    return count;
  }

  #checkFork(parent: CacheableSequence, child: CacheableSequence, numTokens: number): void {
    if (this.#tables.has(child.id)) {
      throw new InvalidArgumentError('child', `sequence ${child.id} has blocks already`);
    }
    let equal = parent.cacheSalt === child.cacheSalt && numTokens < child.numTokens && numTokens <= parent.numTokens;
    for (let i = 0; equal && i < numTokens; i++) equal = parent.tokenIds[i] === child.tokenIds[i];
    if (!equal) {
      const wanted = `the salt and the first ${numTokens} of more tokens of sequence ${parent.id}`;
      throw new InvalidArgumentError('child', `sequence ${child.id} must have ${wanted}`);
    }
  }
}
