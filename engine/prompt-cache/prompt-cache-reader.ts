/** Opens a prompt-cache file for one engine: checks everything but the blocks, then hands out blocks, each checked. Trusts
 * no number in the file before the check of the part that it stands in, and allocates no more than the part's bound. */
import type { FileRangeReader } from '../../formats/file-range-reader.ts';
import { formatFailure } from '../../formats/format-failure.ts';
import { BlockIndex } from './block-index.ts';
import { findDifference, type PromptCacheIdentity } from './prompt-cache-identity.ts';
import {
  blockDigest,
  END_MAGIC,
  endDigest,
  FORMAT_VERSION,
  MAX_HEADER_BYTES,
  MAX_INDEX_BYTES,
  PRELUDE_BYTES,
  START_MAGIC,
  startDigest,
  TRAILER_BYTES,
} from './prompt-cache-layout.ts';
import { ForeignPromptCacheError } from './prompt-cache-refusal.ts';

export class PromptCacheReader {
  readonly index: BlockIndex;
  readonly #file: FileRangeReader;
  readonly #blocksStart: number;
  readonly #bytesPerBlock: number;

  private constructor(file: FileRangeReader, parts: { index: BlockIndex; blocksStart: number; bytesPerBlock: number }) {
    this.#file = file;
    this.index = parts.index;
    this.#blocksStart = parts.blocksStart;
    this.#bytesPerBlock = parts.bytesPerBlock;
  }

  /** @throws FormatError for a damaged file, ForeignPromptCacheError for one of another version or engine */
  static async open(file: FileRangeReader, ours: PromptCacheIdentity): Promise<PromptCacheReader> {
    if (file.byteLength < PRELUDE_BYTES + TRAILER_BYTES) throw damaged(file, 0, 'file', 'is too short');
    const start = await readStart(file, ours);
    const index = await readIndex(file, start, ours);
    return new PromptCacheReader(file, { index, blocksStart: start.byteLength, bytesPerBlock: ours.bytesPerBlock });
  }

  /** Fills `target` with the blocks from number `first` on, as many as it has room for.
   * @throws FormatError when one is not what it was when it was saved */
  async readBlocks(first: number, target: Uint8Array): Promise<void> {
    const size = this.#bytesPerBlock;
    const byteOffset = this.#blocksStart + first * size;
    await this.#file.read(byteOffset, target, 'KV blocks');
    for (let start = 0; start < target.length; start += size) {
      const number = first + start / size;
      const digest = blockDigest(target.subarray(start, start + size));
      if (sameBytes(digest, this.index.at(number).digest)) continue;
      throw damaged(this.#file, byteOffset + start, `KV block ${number}`, 'its checksum is wrong');
    }
  }
}

interface Start {
  readonly byteLength: number;
  readonly digest: Uint8Array;
}

async function readStart(file: FileRangeReader, ours: PromptCacheIdentity): Promise<Start> {
  const prelude = Buffer.alloc(PRELUDE_BYTES);
  await file.read(0, prelude, 'prelude');
  if (!sameBytes(prelude.subarray(0, 8), START_MAGIC)) {
    throw new ForeignPromptCacheError('foreign', `${file.path} is not a prompt-cache file`);
  }
  const version = prelude.readUInt32LE(8);
  if (version !== FORMAT_VERSION) {
    const message = `${file.path} has format version ${version}; this Quern reads version ${FORMAT_VERSION}`;
    throw new ForeignPromptCacheError('version', message);
  }
  const length = prelude.readUInt32LE(12);
  if (length > MAX_HEADER_BYTES || PRELUDE_BYTES + length + TRAILER_BYTES > file.byteLength) {
    throw damaged(file, 12, 'header length', `${length} bytes do not fit`);
  }
  const header = new Uint8Array(length);
  await file.read(PRELUDE_BYTES, header, 'header');
  const digest = startDigest(prelude, header);
  if (!sameBytes(digest, prelude.subarray(16))) throw damaged(file, 16, 'header', 'its checksum is wrong');
  const difference = parsed(file, { byteOffset: PRELUDE_BYTES, field: 'header' }, () => findDifference(header, ours));
  if (difference !== undefined) throw new ForeignPromptCacheError('foreign', `${file.path}: ${difference}`);
  return { byteLength: PRELUDE_BYTES + length, digest };
}

async function readIndex(file: FileRangeReader, start: Start, ours: PromptCacheIdentity): Promise<BlockIndex> {
  const { blockSize, bytesPerBlock } = ours;
  const trailerStart = file.byteLength - TRAILER_BYTES;
  const trailer = Buffer.alloc(TRAILER_BYTES);
  await file.read(trailerStart, trailer, 'trailer');
  if (!sameBytes(trailer.subarray(40), END_MAGIC)) throw damaged(file, trailerStart, 'trailer', 'the file was cut off');
  const numBlocks = trailer.readUInt32LE(0);
  const indexLength = trailer.readUInt32LE(4);
  const byteLength = start.byteLength + numBlocks * bytesPerBlock + indexLength + TRAILER_BYTES;
  if (indexLength > MAX_INDEX_BYTES || byteLength !== file.byteLength) {
    const what = `${numBlocks} blocks of ${bytesPerBlock} bytes and an index of ${indexLength}`;
    throw damaged(file, trailerStart, 'trailer', `${what} do not make a file of ${file.byteLength} bytes`);
  }
  const bytes = new Uint8Array(indexLength);
  const byteOffset = trailerStart - indexLength;
  await file.read(byteOffset, bytes, 'index');
  if (!sameBytes(endDigest(start.digest, trailer, bytes), trailer.subarray(8, 40))) {
    throw damaged(file, byteOffset, 'index', 'its checksum is wrong');
  }
  return parsed(file, { byteOffset, field: 'index' }, () => new BlockIndex(bytes, { numBlocks, blockSize }));
}

/** Bytes whose checksum is right can still be a forger's. */
function parsed<T>(file: FileRangeReader, where: { byteOffset: number; field: string }, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw damaged(file, where.byteOffset, where.field, error instanceof Error ? error.message : String(error));
  }
}

function damaged(file: FileRangeReader, byteOffset: number, field: string, problem: string): Error {
  return formatFailure({ file: file.path, byteOffset, field }, problem);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
