/** The outermost shape of a prompt-cache file: where its parts lie and how each is checked. All numbers little-endian.
 *
 *   0        magic "QUERNKV\n"                     |
 *   8        format version           u32          |  prelude, 48 bytes
 *   12       header length H          u32          |
 *   16       SHA-256 of bytes 0 to 15 and header   |
 *   48       header                   MessagePack     what the pages depend on (`PromptCacheIdentity`)
 *   48 + H   KV block 0, 1, ...       raw bytes       keys and values of every layer, each block checked by the index
 *            index                    MessagePack     tokens, parent and SHA-256 of every block (`BlockIndex`)
 *   end - 48 number of blocks         u32          |
 *   end - 44 index length             u32          |  trailer, 48 bytes
 *   end - 40 SHA-256 of the header's SHA-256,      |
 *            the 8 bytes before, and the index     |
 *   end - 8  magic "QUERNEND"                      |
 *
 * The index comes last because a block may be evicted while the file is written. No byte is outside a check. */
import { createHash, hash } from 'node:crypto';

export const FORMAT_VERSION = 1;

export const PRELUDE_BYTES = 48;
export const TRAILER_BYTES = 48;
export const DIGEST_BYTES = 32;

/** Bounds on what is read into memory at once because the file says so. */
export const MAX_HEADER_BYTES = 2 ** 16;
export const MAX_INDEX_BYTES = 2 ** 28;

export const START_MAGIC = Buffer.from('QUERNKV\n', 'latin1');
export const END_MAGIC = Buffer.from('QUERNEND', 'latin1');

/** The first bytes of a file: prelude and header.
 * @returns the bytes, and the digest among them, which the trailer builds on */
export function encodeStart(header: Uint8Array): { readonly bytes: Uint8Array; readonly digest: Uint8Array } {
  const prelude = Buffer.alloc(PRELUDE_BYTES);
  START_MAGIC.copy(prelude, 0);
  prelude.writeUInt32LE(FORMAT_VERSION, 8);
  prelude.writeUInt32LE(header.length, 12);
  const digest = startDigest(prelude, header);
  prelude.set(digest, 16);
  return { bytes: Buffer.concat([prelude, header]), digest };
}

export function startDigest(prelude: Uint8Array, header: Uint8Array): Uint8Array {
  return createHash('sha256').update(prelude.subarray(0, 16)).update(header).digest();
}

/** The last bytes of a file: index and trailer. */
export function encodeEnd(start: Uint8Array, numBlocks: number, index: Uint8Array): Uint8Array {
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeUInt32LE(numBlocks, 0);
  trailer.writeUInt32LE(index.length, 4);
  trailer.set(endDigest(start, trailer, index), 8);
  END_MAGIC.copy(trailer, 40);
  return Buffer.concat([index, trailer]);
}

/** @param start  the header's digest: an index is of one file only */
export function endDigest(start: Uint8Array, trailer: Uint8Array, index: Uint8Array): Uint8Array {
  return createHash('sha256').update(start).update(trailer.subarray(0, 8)).update(index).digest();
}

/** Of one block's keys and values. */
export function blockDigest(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer');
}
