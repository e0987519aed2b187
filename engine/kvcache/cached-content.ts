/** The prefix cache seen from outside, by who copies blocks out of it (to a file) or puts blocks into it: which content
 * is worth most, where there is room for more, and how to take in blocks that no sequence here computed.
 *
 * Works on the manager's own pool and prefix cache; knows no bytes. Whoever adopts a block puts its keys and values there
 * before the next step, and only while no step is in flight: a step may still be writing to a block that was freed. */
import { InvalidArgumentError } from '../errors.ts';
import type { BlockPool } from './block-pool.ts';
import type { CachedBlock, ChainLink, PrefixCache } from './prefix-cache.ts';

export class CachedContent {
  readonly #pool: BlockPool;
  readonly #prefixCache: PrefixCache;

  constructor(pool: BlockPool, prefixCache: PrefixCache) {
    this.#pool = pool;
    this.#prefixCache = prefixCache;
  }

  /** Every content that a hit can find, once: in use first, then the most recently used, but each after its parent. A
   * parent is worth at least what its children are, as they are reached through it.
   * Live views: `blockIds` is empty once the content was evicted. Time: proportional to the pool. */
  blocks(): CachedBlock[] {
    const byId = new Map<number | string, CachedBlock>();
    const byBlockId = new Map<number, CachedBlock>();
    for (const entry of this.#prefixCache.entries()) {
      byId.set(entry.id, entry);
      for (const blockId of entry.blockIds) byBlockId.set(blockId, entry);
    }
    const ordered = new Set<CachedBlock>();
    for (const blockId of this.#byWorth()) {
      const path: CachedBlock[] = [];
      let entry = byBlockId.get(blockId);
      while (entry !== undefined && !ordered.has(entry)) {
        path.push(entry);
        // A first block's parent is the salt's tag; any other parent that is gone makes the path unreachable.
        if (typeof entry.parentId === 'string') break;
        entry = byId.get(entry.parentId);
      }
      if (entry === undefined) continue;
      for (const each of path.reverse()) ordered.add(each);
    }
    return [...ordered];
  }

  /** The cached full blocks that these tokens begin with. */
  blocksOf(tokenIds: Int32Array, cacheSalt: string): CachedBlock[] {
    return this.#prefixCache.chain(tokenIds, tokenIds.length, cacheSalt);
  }

  /** Where the chains of one salt begin, by its tag (`saltTag`). */
  root(tag: string): ChainLink {
    return this.#prefixCache.rootOfTag(tag);
  }

  /** What is cached of these tokens after `parent`. */
  find(parent: ChainLink, tokenIds: Int32Array): CachedBlock | undefined {
    return this.#prefixCache.child(parent, tokenIds);
  }

  /** Free blocks that hold nothing, for `adopt`. Taken from the end, what is adopted first is kept longest; all of it is
   * reused before any content that sequences here have computed. */
  emptyBlockIds(): number[] {
    return this.#pool.emptyBlockIds();
  }

  isEmpty(blockId: number): boolean {
    return this.#pool.isEmpty(blockId);
  }

  /** Lets an empty block be found as these tokens after `parent`. It stays free: a hit takes it, or it is evicted.
   * @returns `undefined` when the parent was evicted meanwhile
   * @throws InvalidArgumentError when the block is not free or not empty */
  adopt(blockId: number, parent: ChainLink, tokenIds: Int32Array): ChainLink | undefined {
    if (!this.#pool.isEmpty(blockId)) {
      throw new InvalidArgumentError('blockId', `block ${blockId} must be free and empty to be adopted`);
    }
    const link = this.#prefixCache.insert(parent, tokenIds, 0, blockId);
    if (link !== undefined) this.#pool.adopt(blockId, link.hash);
    return link;
  }

  /** Makes a block that was adopted unfindable again. Sequences that use it already keep it. Nothing happens when the
   * content was evicted meanwhile. */
  forget(link: ChainLink, blockId: number): void {
    if (link.blockIds?.includes(blockId) !== true) return;
    // Owned for a moment, so that it becomes free as a block without content does: first to be reused.
    this.#pool.touch(blockId);
    this.#pool.clearHash(blockId);
    this.#prefixCache.remove(blockId, link.hash);
    this.#pool.free(blockId);
  }

  /** Blocks in use, then the free ones from the most to the least recently used. */
  #byWorth(): number[] {
    const used: number[] = [];
    for (let id = 0; id < this.#pool.numBlocks; id++) if (this.#pool.refCount(id) > 0) used.push(id);
    return [...used, ...this.#pool.freeBlockIds().reverse()];
  }
}
