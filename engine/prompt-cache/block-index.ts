/** The index of a prompt-cache file: what each block is, in the order of the file, where every block comes after its
 * parent. Columns rather than records, so that a million blocks are four values to MessagePack:
 *
 *   saltTags   SHA-256 of each cache salt (`saltTag`)           array of 32 bytes each
 *   parents    the parent's number; -1 - s for a first block     i32 per block
 *              of the chains of salt s
 *   tokenIds   the block's own tokens                            i32 per token
 *   digests    SHA-256 of the block's keys and values            32 bytes per block */

import { packPlain, unpackPlain } from './plain-msgpack.ts';
import { DIGEST_BYTES } from './prompt-cache-layout.ts';

const BYTES_PER_INT = 4;

/** Bytes that an index takes besides its blocks and salts, at most. */
const FRAME_BYTES = 64;
/** A tag with its MessagePack head. */
const BYTES_PER_SALT = DIGEST_BYTES + 2;

/** An upper bound. */
export function indexBytes(size: {
  readonly numBlocks: number;
  readonly numSalts: number;
  readonly blockSize: number;
}): number {
  const bytesPerBlock = BYTES_PER_INT * (1 + size.blockSize) + DIGEST_BYTES;
  return FRAME_BYTES + size.numSalts * BYTES_PER_SALT + size.numBlocks * bytesPerBlock;
}

/** A block as the index describes it. */
export interface IndexedBlock {
  /** The number of an earlier block, or the tag of the salt whose chain begins here. */
  readonly parent: number | string;
  readonly tokenIds: Int32Array;
  readonly digest: Uint8Array;
}

export function encodeIndex(blocks: readonly IndexedBlock[], blockSize: number): Uint8Array {
  const salts = new Map<string, number>();
  const parents = new DataView(new ArrayBuffer(blocks.length * BYTES_PER_INT));
  const tokens = new DataView(new ArrayBuffer(blocks.length * blockSize * BYTES_PER_INT));
  const digests = new Uint8Array(blocks.length * DIGEST_BYTES);
  for (const [i, { parent, tokenIds, digest }] of blocks.entries()) {
    if (typeof parent === 'string' && !salts.has(parent)) salts.set(parent, salts.size);
    const value = typeof parent === 'string' ? -1 - salts.get(parent)! : parent;
    parents.setInt32(i * BYTES_PER_INT, value, true);
    for (let t = 0; t < blockSize; t++) tokens.setInt32((i * blockSize + t) * BYTES_PER_INT, tokenIds[t]!, true);
    digests.set(digest, i * DIGEST_BYTES);
  }
  return packPlain({
    saltTags: [...salts.keys()].map((tag) => Buffer.from(tag, 'hex')),
    parents: new Uint8Array(parents.buffer),
    tokenIds: new Uint8Array(tokens.buffer),
    digests,
  });
}

/** An index that was read and found sound: every parent is an earlier block or a salt, every token id is one. */
export class BlockIndex {
  readonly numBlocks: number;
  readonly #blockSize: number;
  readonly #saltTags: readonly string[];
  readonly #parents: Int32Array;
  readonly #tokenIds: Int32Array;
  readonly #digests: Uint8Array;

  /** @throws Error with a message about the first thing that is wrong */
  constructor(bytes: Uint8Array, expected: { readonly numBlocks: number; readonly blockSize: number }) {
    const { numBlocks, blockSize } = expected;
    const columns = unpackPlain(bytes);
    if (typeof columns !== 'object' || columns === null) throw new Error('is not a map');
    const { saltTags, parents, tokenIds, digests } = columns as Readonly<Record<string, unknown>>;
    this.numBlocks = numBlocks;
    this.#blockSize = blockSize;
    if (!Array.isArray(saltTags)) throw new Error('has no list of salts');
    this.#saltTags = saltTags.map((tag: unknown) => Buffer.from(column('saltTags', tag, DIGEST_BYTES)).toString('hex'));
    this.#parents = toInts(column('parents', parents, numBlocks * BYTES_PER_INT));
    this.#tokenIds = toInts(column('tokenIds', tokenIds, numBlocks * blockSize * BYTES_PER_INT));
    this.#digests = column('digests', digests, numBlocks * DIGEST_BYTES);
    for (const [i, parent] of this.#parents.entries()) {
      if (parent < i && parent >= -this.#saltTags.length) continue;
      throw new Error(`block ${i} has parent ${parent}; it must be an earlier block or a salt`);
    }
    const wrong = this.#tokenIds.find((tokenId) => tokenId < 0);
    if (wrong !== undefined) throw new Error(`holds ${wrong}, which is not a token id`);
  }

  at(i: number): IndexedBlock {
    const parent = this.#parents[i]!;
    return {
      parent: parent < 0 ? this.#saltTags[-1 - parent]! : parent,
      tokenIds: this.#tokenIds.subarray(i * this.#blockSize, (i + 1) * this.#blockSize),
      digest: this.#digests.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES),
    };
  }
}

function column(name: string, value: unknown, byteLength: number): Uint8Array {
  if (value instanceof Uint8Array && value.length === byteLength) return value;
  const actual = value instanceof Uint8Array ? `${value.length}` : 'no';
  throw new Error(`${name} must be ${byteLength} bytes, got ${actual} bytes`);
}

function toInts(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Int32Array(bytes.length / BYTES_PER_INT);
  for (let i = 0; i < values.length; i++) values[i] = view.getInt32(i * BYTES_PER_INT, true);
  return values;
}
