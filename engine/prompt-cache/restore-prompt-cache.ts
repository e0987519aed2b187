/** Reads cached blocks from a file into the free blocks of an engine, a batch at a time:
 *
 *   read and check a batch  ->  between two steps: choose empty blocks, write the bytes, let them be found  ->  next batch
 *
 * A batch goes in within one turn of the event loop, so nobody ever sees half of one. Restored blocks are free blocks with
 * content, as those of a finished request are: a hit takes them, and whoever needs memory evicts them. Only empty blocks
 * are used: what this engine has computed itself is never evicted for what a file holds. */
import { FileRangeReader } from '../../formats/file-range-reader.ts';
import type { CachedContent } from '../kvcache/cached-content.ts';
import type { ChainLink } from '../kvcache/prefix-cache.ts';
import { checkString, OptionReader } from '../util/option-reader.ts';
import { KvBlockBytes } from './kv-block-bytes.ts';
import type { PromptCacheHost } from './prompt-cache-host.ts';
import { identityOf } from './prompt-cache-identity.ts';
import { PromptCacheReader } from './prompt-cache-reader.ts';
import { type PromptCacheRefusal, refusalOf } from './prompt-cache-refusal.ts';
import { cachedContentOf } from './save-prompt-cache.ts';

export interface RestorePromptCacheOptions {
  /** Gives up and forgets what was restored. */
  readonly signal?: AbortSignal;
}

export interface RestoredPromptCache {
  /** Blocks restored; what was cached already does not count. */
  readonly numBlocks: number;
  readonly numTokens: number;
  /** Blocks in the file: more than `numBlocks` when the pool had no room for all, or held some of them before. */
  readonly numBlocksInFile: number;
  /** Why the file is not used. Nothing of it is restored then. */
  readonly refused?: PromptCacheRefusal;
}

/** Bytes read, checked and written in one turn of the event loop, when a block is not larger: a millisecond or two. */
const BATCH_BYTES = 2 ** 20;

/** Resolves for every file, usable or not.
 * @throws InvalidArgumentError without prefix caching; what `signal` was aborted with; what `betweenSteps` rejects with */
export async function restorePromptCache(
  host: PromptCacheHost,
  path: string,
  options: RestorePromptCacheOptions = {},
): Promise<RestoredPromptCache> {
  const content = cachedContentOf(host);
  checkString('path', path);
  const signal = new OptionReader('restorePromptCache options', options, ['signal']).signal('signal');
  const identity = identityOf(host);
  let file: FileRangeReader | undefined;
  let restoration: Restoration | undefined;
  try {
    file = await FileRangeReader.open(path);
    const reader = await PromptCacheReader.open(file, identity);
    restoration = new Restoration(host, content, reader);
    await restoration.run(signal);
    const { numBlocks } = restoration;
    return { numBlocks, numTokens: numBlocks * identity.blockSize, numBlocksInFile: reader.index.numBlocks };
  } catch (error) {
    restoration?.undo();
    const refused = refusalOf(error);
    if (refused === undefined) throw error;
    return { numBlocks: 0, numTokens: 0, numBlocksInFile: 0, refused };
  } finally {
    await file?.close();
  }
}

/** One file's blocks on their way into the pool. */
class Restoration {
  readonly #host: PromptCacheHost;
  readonly #content: CachedContent;
  readonly #reader: PromptCacheReader;
  readonly #bytes: KvBlockBytes;
  /** By number in the file: where the block's children go. Absent for a block that is not cached. */
  readonly #links: (ChainLink | undefined)[] = [];
  /** Empty blocks, the one to use next last. */
  #empty: number[] = [];
  readonly #adopted: { readonly link: ChainLink; readonly blockId: number }[] = [];

  constructor(host: PromptCacheHost, content: CachedContent, reader: PromptCacheReader) {
    this.#host = host;
    this.#content = content;
    this.#reader = reader;
    this.#bytes = new KvBlockBytes(host.backend, host.layers);
  }

  get numBlocks(): number {
    return this.#adopted.length;
  }

  async run(signal: AbortSignal | undefined): Promise<void> {
    const { numBlocks } = this.#reader.index;
    const batchLength = Math.max(1, Math.floor(BATCH_BYTES / this.#bytes.byteLength));
    const buffer = new Uint8Array(Math.min(batchLength, numBlocks) * this.#bytes.byteLength);
    for (let next = 0; next < numBlocks; ) {
      signal?.throwIfAborted();
      if (this.#linkKnown(next)) {
        next++;
        continue;
      }
      if (!this.#hasRoom()) return;
      const end = Math.min(numBlocks, next + batchLength);
      const bytes = buffer.subarray(0, (end - next) * this.#bytes.byteLength);
      await this.#reader.readBlocks(next, bytes);
      const first = next;
      await this.#host.betweenSteps(async () => this.#adopt(first, end, bytes));
      next = end;
    }
  }

  /** Makes everything that was restored unfindable again. */
  undo(): void {
    for (const { link, blockId } of this.#adopted.splice(0)) this.#content.forget(link, blockId);
  }

  /** Links a block that is cached already, or that can never be found: both need no bytes. */
  #linkKnown(number: number): boolean {
    const { tokenIds } = this.#reader.index.at(number);
    const parent = this.#parentOf(number);
    const known = parent && this.#content.find(parent, tokenIds);
    if (parent !== undefined && known === undefined) return false;
    this.#links[number] = known;
    return true;
  }

  #parentOf(number: number): ChainLink | undefined {
    const { parent } = this.#reader.index.at(number);
    return typeof parent === 'string' ? this.#content.root(parent) : this.#links[parent];
  }

  /** True when the last of `#empty` is an empty block: the one that is kept longest. */
  #hasRoom(): boolean {
    const isEmpty = (): boolean => this.#empty.length > 0 && this.#content.isEmpty(this.#empty.at(-1)!);
    // Blocks were taken, or others became empty, since the list was made.
    while (this.#empty.length > 0 && !isEmpty()) this.#empty.pop();
    if (this.#empty.length === 0) this.#empty = this.#content.emptyBlockIds();
    return isEmpty();
  }

  /** Runs without a break: from the first block to the last nobody else acts. */
  #adopt(first: number, end: number, bytes: Uint8Array): void {
    for (let number = first; number < end; number++) {
      // Others may have computed it, or taken its parent's place, since the batch was chosen.
      if (this.#linkKnown(number)) continue;
      if (!this.#hasRoom()) return;
      const blockId = this.#empty.at(-1)!;
      const link = this.#content.adopt(blockId, this.#parentOf(number)!, this.#reader.index.at(number).tokenIds);
      if (link === undefined) continue;
      const offset = (number - first) * this.#bytes.byteLength;
      this.#links[number] = link;
      this.#adopted.push({ link, blockId });
      this.#bytes.write(blockId, bytes.subarray(offset, offset + this.#bytes.byteLength));
    }
  }
}
