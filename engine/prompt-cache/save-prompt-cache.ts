/** Writes cached blocks to a file.
 *
 * May run while steps do: a block is findable only when it is full, and a full block is not written to any more, so its
 * bytes can be read at any moment at which it is still findable. That is checked, and all its pages are asked for, in one
 * turn of the event loop. What is evicted before its turn is left out, and so are the blocks after it. */
import { type AtomicFileWriter, writeAtomically } from '../../formats/atomic-file-writer.ts';
import { InvalidArgumentError } from '../errors.ts';
import type { CachedContent } from '../kvcache/cached-content.ts';
import type { CachedBlock } from '../kvcache/prefix-cache.ts';
import { checkString, OptionReader } from '../util/option-reader.ts';
import { encodeIndex, type IndexedBlock, indexBytes } from './block-index.ts';
import { KvBlockBytes } from './kv-block-bytes.ts';
import type { PromptCacheHost } from './prompt-cache-host.ts';
import { encodeIdentity, identityOf } from './prompt-cache-identity.ts';
import { blockDigest, encodeEnd, encodeStart, MAX_INDEX_BYTES, TRAILER_BYTES } from './prompt-cache-layout.ts';

/** Prompts can be read from the file. */
const OWNER_ONLY = 0o600;

export interface SavePromptCacheOptions {
  /** Size of the file at most, in bytes: the blocks worth most are saved. Minimum: a few hundred, what a file without blocks
   * takes. Default: no bound. */
  readonly maxBytes?: number;
  /** Save only what is cached of these tokens' full blocks, the first ones first. Default: everything cached, the most
   * recently used first. */
  readonly prefixes?: readonly { readonly tokenIds: ArrayLike<number>; readonly cacheSalt?: string }[];
  /** Gives up; the file is then as it was before. */
  readonly signal?: AbortSignal;
}

export interface SavedPromptCache {
  readonly numBlocks: number;
  readonly numTokens: number;
  /** Size of the file. */
  readonly numBytes: number;
}

/** Replaces `path` at once when all is written, by a file that its owner alone may read; until then, and after an error, it
 * is what it was.
 * @throws InvalidArgumentError for an option, or without prefix caching; FileAccessError; what `signal` was aborted with */
export async function savePromptCache(
  host: PromptCacheHost,
  path: string,
  options: SavePromptCacheOptions = {},
): Promise<SavedPromptCache> {
  const content = cachedContentOf(host);
  checkString('path', path);
  const reader = new OptionReader('savePromptCache options', options, ['maxBytes', 'prefixes', 'signal']);
  const maxBytes = reader.wholeNumber('maxBytes', { fallback: Number.MAX_SAFE_INTEGER, min: 0 });
  const signal = reader.signal('signal');
  const identity = identityOf(host);
  const { blockSize } = identity;
  const start = encodeStart(encodeIdentity(identity));
  const budget = new SizeBudget(maxBytes, { blockSize, fixedBytes: start.bytes.length + TRAILER_BYTES });
  const blocks = chooseBlocks(content, options);
  const saved: IndexedBlock[] = [];
  let numBytes = 0;
  const fill = async (file: AtomicFileWriter): Promise<void> => {
    await file.write(start.bytes);
    const bytes = new KvBlockBytes(host.backend, host.layers);
    const buffer = new Uint8Array(bytes.byteLength);
    const numbers = new Map<number | string, number>();
    for (const block of blocks) {
      signal?.throwIfAborted();
      const parent = typeof block.parentId === 'string' ? block.parentId : numbers.get(block.parentId);
      if (parent === undefined || block.blockIds.length === 0) continue;
      if (!budget.take(parent, bytes.byteLength)) break;
      await bytes.read(block.blockIds[0]!, buffer);
      numbers.set(block.id, saved.length);
      saved.push({ parent, tokenIds: block.tokenIds, digest: blockDigest(buffer) });
      await file.write(buffer);
    }
    await file.write(encodeEnd(start.digest, saved.length, encodeIndex(saved, blockSize)));
    signal?.throwIfAborted();
    numBytes = file.position;
  };
  await writeAtomically(path, fill, { mode: OWNER_ONLY });
  return { numBlocks: saved.length, numTokens: saved.length * blockSize, numBytes };
}

/** @throws InvalidArgumentError when there is none */
export function cachedContentOf({ kvCache }: PromptCacheHost): CachedContent {
  if (kvCache.cachedContent !== undefined) return kvCache.cachedContent;
  throw new InvalidArgumentError('enablePrefixCaching', 'must be true for prompt caches to be saved and restored');
}

function chooseBlocks(content: CachedContent, { prefixes }: SavePromptCacheOptions): Iterable<CachedBlock> {
  if (prefixes === undefined) return content.blocks();
  const chains = prefixes.map(({ tokenIds, cacheSalt = '' }) => content.blocksOf(Int32Array.from(tokenIds), cacheSalt));
  return new Set(chains.flat());
}

/** What still fits into a file. */
class SizeBudget {
  readonly #maxBytes: number;
  readonly #blockSize: number;
  readonly #salts = new Set<string>();
  /** Besides the index. */
  #numBytes: number;
  #numBlocks = 0;

  /** @throws InvalidArgumentError when not even a file without blocks fits */
  constructor(maxBytes: number, file: { readonly fixedBytes: number; readonly blockSize: number }) {
    this.#maxBytes = maxBytes;
    this.#blockSize = file.blockSize;
    this.#numBytes = file.fixedBytes;
    const least = file.fixedBytes + this.#indexBytes(0, 0);
    if (maxBytes < least) throw new InvalidArgumentError('maxBytes', `must be at least ${least}, got ${maxBytes}`);
  }

  /** Makes room for one more block; false when there is none. */
  take(parent: number | string, blockBytes: number): boolean {
    const isNewSalt = typeof parent === 'string' && !this.#salts.has(parent);
    const index = this.#indexBytes(this.#numBlocks + 1, this.#salts.size + (isNewSalt ? 1 : 0));
    if (index > MAX_INDEX_BYTES || this.#numBytes + blockBytes + index > this.#maxBytes) return false;
    if (isNewSalt) this.#salts.add(parent);
    this.#numBytes += blockBytes;
    this.#numBlocks++;
    return true;
  }

  #indexBytes(numBlocks: number, numSalts: number): number {
    return indexBytes({ numBlocks, numSalts, blockSize: this.#blockSize });
  }
}
