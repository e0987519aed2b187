/** What goes into and comes out of `KvCacheManager`. */
import type { EvictionPolicy } from './eviction-policy.ts';
import type { PrefixMatch } from './prefix-cache.ts';

/** What the manager reads of a sequence. */
export interface CacheableSequence {
  readonly id: number;
  /** Token ids; valid up to `numTokens`. */
  readonly tokenIds: Int32Array;
  readonly numTokens: number;
  /** Tokens whose keys and values are in the cache. */
  readonly numComputedTokens: number;
  /** Sequences share cached blocks only under equal salts. */
  readonly cacheSalt: string;
}

/** Copy the whole of block `source` to block `target` before the step. A list of copies is carried out in its order:
 * a block may be the target of one and the source of a later one. */
export interface BlockCopy {
  readonly source: number;
  readonly target: number;
}

export interface KvCacheManagerOptions {
  /** Pages in the KV storage. Block 0 is the null block, so one less can hold tokens. Minimum 2. */
  readonly numBlocks: number;
  /** Tokens per block. Minimum 1. */
  readonly blockSize: number;
  /** Whatever keys and values depend on besides tokens. Default ''. */
  readonly modelFingerprint?: string;
  /** Tokens that attention sees, the query's own included, when that holds for every layer. Default: all. */
  readonly slidingWindow?: number | undefined;
  /** Default true. */
  readonly enablePrefixCaching?: boolean;
  /** Share of the blocks that must stay free when a sequence is admitted, so that running ones can grow. From 0 to
   * below 1; default 0.01. */
  readonly watermark?: number;
  /** Default: `lruInRuns`. */
  readonly evictionPolicy?: EvictionPolicy;
}

/** How `allocateSlots` begins a sequence and how careful it is. */
export interface AllocateOptions {
  /** For a sequence without a table: the cached prefix to begin with. */
  readonly prefix?: PrefixMatch;
  /** Blocks that must still be free afterwards. Default 0. */
  readonly keepFree?: number;
}

/** Counts are blocks, but `queries` and `hits`, which are tokens looked up and tokens found. */
export interface KvCacheStats {
  readonly numUsableBlocks: number;
  readonly used: number;
  readonly free: number;
  /** Blocks with content that a prefix hit can use, in use or free. */
  readonly cached: number;
  readonly queries: number;
  readonly hits: number;
}
