/** Finds KV blocks that hold the beginning of a prompt already.
 *
 * Every full, computed block has an entry under its chained hash. Entries form chains through `parentId`:
 *
 *   tag of salt ''                entry 1            entry 2            entry 5
 *   (parentId of first blocks) <- [The cat sat] <--- [on the mat] <---- [and slept]
 *                                  blocks 4, 17       block 9            block 3
 *                                                ^--- [on the hat]  entry 6, block 11
 *
 * A hit needs the hash, the tokens and the parent to be equal; a parent is equal when it is the same entry, which was
 * itself verified against the tokens before it. By induction the whole prefix is verified, so a hash collision is
 * harmless. Entry ids are never used twice: the children of an entry that is gone can no longer be found.
 * Several blocks may hold equal content (sequences that computed it side by side). Owns no reference counts. */
import { type BlockHash, hashBlock, hashRoot } from './block-hash.ts';
import { saltTag } from './salt-tag.ts';

/** A position in a chain of blocks: what the next block's hash and verification build on. */
export interface ChainLink {
  readonly hash: BlockHash;
  /** The entry's id; for the root of a chain, the tag of its cache salt. */
  readonly id: number | string;
  /** Blocks that hold the content now: none when it was evicted; absent for the root of a chain. */
  readonly blockIds?: readonly number[];
}

/** An entry as others may look at it. */
export interface CachedBlock extends ChainLink {
  /** The link before it: an entry's id, or the salt's tag for the first block of a chain. */
  readonly parentId: number | string;
  /** The block's own tokens, `blockSize` of them. */
  readonly tokenIds: Int32Array;
  readonly blockIds: readonly number[];
}

interface CacheEntry extends CachedBlock {
  readonly blockIds: number[];
}

/** The longest prefix found: one block and one link per `blockSize` tokens. */
export interface PrefixMatch {
  readonly blockIds: readonly number[];
  readonly links: readonly ChainLink[];
}

export interface PrefixCacheOptions {
  /** Tokens per block. */
  readonly blockSize: number;
  readonly modelFingerprint: string;
  /** Default: `hashBlock`. Another one can only be slower or faster, never wrong. */
  readonly hashFunction?: typeof hashBlock;
}

export class PrefixCache {
  readonly #blockSize: number;
  readonly #modelFingerprint: string;
  readonly #hashBlock: typeof hashBlock;
  readonly #entries = new Map<BlockHash, CacheEntry[]>();
  #lastId = 0;

  constructor(options: PrefixCacheOptions) {
    this.#blockSize = options.blockSize;
    this.#modelFingerprint = options.modelFingerprint;
    this.#hashBlock = options.hashFunction ?? hashBlock;
  }

  /** Where the chains of one salt begin. */
  root(cacheSalt: string): ChainLink {
    return this.rootOfTag(saltTag(cacheSalt));
  }

  /** The same for who knows the salt's tag only. */
  rootOfTag(tag: string): ChainLink {
    return { hash: hashRoot(this.#modelFingerprint, tag), id: tag };
  }

  /** The longest cached prefix of the first `numTokens` token ids, in whole blocks. At most `numTokens` - 1 tokens are
   * matched: the last one is always computed, as its row gives the logits. */
  match(tokenIds: Int32Array, numTokens: number, cacheSalt: string): PrefixMatch {
    const links = this.chain(tokenIds, numTokens - 1, cacheSalt);
    return { blockIds: links.map(({ blockIds }) => blockIds[0]!), links };
  }

  /** The full blocks of the first `numTokens` token ids, up to the first that is not cached. */
  chain(tokenIds: Int32Array, numTokens: number, cacheSalt: string): CachedBlock[] {
    const chain: CachedBlock[] = [];
    let parent = this.root(cacheSalt);
    for (let start = 0; start + this.#blockSize <= numTokens; start += this.#blockSize) {
      const entry = this.child(parent, tokenIds, start);
      if (entry === undefined) break;
      chain.push(entry);
      parent = entry;
    }
    return chain;
  }

  /** What is cached of the `blockSize` tokens from `start`, which follow `parent`. */
  child(parent: ChainLink, tokenIds: Int32Array, start = 0): CachedBlock | undefined {
    return this.#find(this.#hashBlock(parent.hash, tokenIds, start, start + this.#blockSize), parent, tokenIds, start);
  }

  /** Every entry, in no order that means anything. */
  *entries(): Generator<CachedBlock> {
    for (const sameHash of this.#entries.values()) yield* sameHash;
  }

  /** Remembers that `blockId` holds the `blockSize` tokens from `start`, which follow `parent`. Returns their link, or
   * `undefined` when the parent was evicted (behind a sliding window): what follows it could not be found. */
  insert(parent: ChainLink, tokenIds: Int32Array, start: number, blockId: number): ChainLink | undefined {
    if (parent.blockIds?.length === 0) return undefined;
    const end = start + this.#blockSize;
    const hash = this.#hashBlock(parent.hash, tokenIds, start, end);
    const known = this.#find(hash, parent, tokenIds, start);
    if (known !== undefined) {
      if (!known.blockIds.includes(blockId)) known.blockIds.push(blockId);
      return known;
    }
    const id = ++this.#lastId;
    const entry = { hash, id, parentId: parent.id, tokenIds: tokenIds.slice(start, end), blockIds: [blockId] };
    const sameHash = this.#entries.get(hash);
    if (sameHash === undefined) this.#entries.set(hash, [entry]);
    else sameHash.push(entry);
    return entry;
  }

  /** Forgets one block, and the entry with its last block. */
  remove(blockId: number, hash: BlockHash): void {
    const sameHash = this.#entries.get(hash) ?? [];
    for (const [index, entry] of sameHash.entries()) {
      const at = entry.blockIds.indexOf(blockId);
      if (at === -1) continue;
      entry.blockIds.splice(at, 1);
      if (entry.blockIds.length === 0) sameHash.splice(index, 1);
      if (sameHash.length === 0) this.#entries.delete(hash);
      return;
    }
  }

  clear(): void {
    this.#entries.clear();
  }

  #find(hash: BlockHash, parent: ChainLink, tokenIds: Int32Array, start: number): CacheEntry | undefined {
    const sameHash = this.#entries.get(hash);
    if (sameHash === undefined) return undefined;
    for (const entry of sameHash) {
      if (entry.parentId === parent.id && this.#holds(entry, tokenIds, start)) return entry;
    }
    return undefined;
  }

  #holds(entry: CacheEntry, tokenIds: Int32Array, start: number): boolean {
    for (let i = 0; i < this.#blockSize; i++) {
      if (entry.tokenIds[i] !== tokenIds[start + i]) return false;
    }
    return true;
  }
}
