/** A KV cache without a model: what "computing" a block leaves in its pages is a function of the salt and of all tokens up
 * to the block's end, as with a real model, so that a block in the wrong place or with the wrong bytes shows. */
import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { KvCacheManager } from '../../../engine/kvcache/kv-cache-manager.ts';
import { KvCacheStorage } from '../../../engine/kvcache/kv-cache-storage.ts';
import { KvBlockBytes } from '../../../engine/prompt-cache/kv-block-bytes.ts';
import type { PromptCacheHost } from '../../../engine/prompt-cache/prompt-cache-host.ts';

export interface TinyCacheOptions {
  readonly numBlocks: number;
  readonly blockSize?: number;
  readonly modelFingerprint?: string;
  readonly slidingWindow?: number;
  readonly enablePrefixCaching?: boolean;
  readonly kvDtype?: 'f32' | 'f16';
}

export class TinyCache {
  readonly manager: KvCacheManager;
  readonly host: PromptCacheHost;
  readonly #bytes: KvBlockBytes;
  #nextId = 1;

  constructor(options: TinyCacheOptions) {
    const { numBlocks, blockSize = 2, modelFingerprint = 'tiny', slidingWindow, enablePrefixCaching = true } = options;
    this.manager = new KvCacheManager({ numBlocks, blockSize, modelFingerprint, slidingWindow, enablePrefixCaching });
    const backend = new ReferenceBackend();
    const shape = { dtype: options.kvDtype ?? 'f32', numLayers: 2, numBlocks, numKvHeads: 1, blockSize, headDim: 4 };
    const { layers } = new KvCacheStorage(backend, shape);
    this.#bytes = new KvBlockBytes(backend, layers);
    this.host = {
      kvCache: this.manager,
      backend,
      layers,
      modelFingerprint,
      betweenSteps: async (task) => {
        const result = await task();
        expect(this.manager.findInconsistency()).toBeUndefined();
        return result;
      },
    };
  }

  /** Runs a request: takes its prefix from the cache (and checks it), computes the rest, ends unless told to `hold`.
   * @returns cached tokens and the sequence's id, or `undefined` when there is no room */
  request(
    tokens: readonly number[],
    cacheSalt = '',
    { hold = false } = {},
  ): { readonly id: number; readonly numCachedTokens: number } | undefined {
    const { blockSize } = this.manager.geometry;
    const sequence = { id: this.#nextId++, tokenIds: Int32Array.from(tokens), numTokens: tokens.length, cacheSalt };
    const prefix = this.manager.getComputedBlocks({ ...sequence, numComputedTokens: 0 });
    for (const [i, blockId] of prefix.blockIds.entries())
      this.#check(blockId, cacheSalt, tokens.slice(0, (i + 1) * blockSize));
    const numCachedTokens = prefix.blockIds.length * blockSize;
    const numNew = tokens.length - numCachedTokens;
    if (this.manager.allocateSlots({ ...sequence, numComputedTokens: 0 }, numNew, { prefix }) === undefined)
      return undefined;
    const table = this.manager.blockTable(sequence.id);
    for (let i = prefix.blockIds.length; i < table.length; i++) {
      this.#bytes.write(table[i]!, this.#contentOf(cacheSalt, tokens.slice(0, (i + 1) * blockSize)));
    }
    this.manager.cacheFullBlocks({ ...sequence, numComputedTokens: tokens.length });
    if (!hold) this.manager.free(sequence.id);
    return { id: sequence.id, numCachedTokens };
  }

  /** Cached blocks of these tokens, each checked. */
  numFindable(tokens: readonly number[], cacheSalt = ''): number {
    const { blockSize } = this.manager.geometry;
    const blocks = this.manager.cachedContent!.blocksOf(Int32Array.from(tokens), cacheSalt);
    for (const [i, { blockIds }] of blocks.entries()) {
      for (const blockId of blockIds) this.#check(blockId, cacheSalt, tokens.slice(0, (i + 1) * blockSize));
    }
    return blocks.length;
  }

  /** Everything cached, as readable paths in order of worth: '1,2|3,4' is a block of 3,4 after one of 1,2. */
  paths(): string[] {
    const paths = new Map<number | string, string>();
    return this.manager.cachedContent!.blocks().map(({ id, parentId, tokenIds }) => {
      const before = paths.get(parentId);
      const path = `${before === undefined ? '' : `${before}|`}${tokenIds.join()}`;
      paths.set(id, path);
      return path;
    });
  }

  #contentOf(cacheSalt: string, tokens: readonly number[]): Uint8Array {
    const seed = createHash('sha256').update(`${cacheSalt}:`).update(Int32Array.from(tokens)).digest();
    return Uint8Array.from({ length: this.#bytes.byteLength }, (_, i) => seed[i % 32]! ^ i);
  }

  #check(blockId: number, cacheSalt: string, tokens: readonly number[]): void {
    const bytes = new Uint8Array(this.#bytes.byteLength);
    // The reference backend reads at once; only what it resolves to is late.
    void this.#bytes.read(blockId, bytes);
    expect(bytes, `block ${blockId} for ${tokens}`).toEqual(this.#contentOf(cacheSalt, tokens));
  }
}
