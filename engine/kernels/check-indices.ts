/** Rules for the values of integer inputs: ids, positions, slots, pages. For backends whose ops run on the host and can
 * look before they touch anything; a bad index must be an error, never somebody else's memory.
 * Shapes and dtypes are `check-args.ts`'s business. */
import { InvalidArgumentError } from '../errors.ts';

/** @throws InvalidArgumentError naming the first entry of `indices` that is not in 0 to `limit` - 1.
 * @param what  the argument and the thing indexed, as `embed tokenIds` */
export function checkIndices(what: string, indices: Int32Array, limit: number): void {
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!;
    if (index < 0 || index >= limit) {
      throw new InvalidArgumentError(`${what}[${i}]`, `must be from 0 to ${limit - 1}, got ${index}`, { index, limit });
    }
  }
}

/** Slots must exist or be -1 (skip this token), and no two tokens may write the same one: whose value stayed would
 * depend on the order of the threads. */
export function checkSlots(slotMapping: Int32Array, numSlots: number): void {
  const seen = new Set<number>();
  for (let t = 0; t < slotMapping.length; t++) {
    const slot = slotMapping[t]!;
    if (slot === -1) continue;
    const where = `writeKv slotMapping[${t}]`;
    if (slot < 0 || slot >= numSlots) {
      throw new InvalidArgumentError(where, `must be -1 or from 0 to ${numSlots - 1}, got ${slot}`, { slot, numSlots });
    }
    if (seen.has(slot)) throw new InvalidArgumentError(where, `slot ${slot} is written by an earlier token`, { slot });
    seen.add(slot);
  }
}

/** The integer inputs of one paged attention call. */
export interface PagedBatch {
  readonly blockTables: Int32Array;
  readonly queryStartLoc: Int32Array;
  readonly seqLens: Int32Array;
  readonly numTokens: number;
  readonly numBlocks: number;
  readonly blockSize: number;
  /** Infinity when every earlier token is seen. */
  readonly window: number;
}

/** The first key position that any of a sequence's `numQueries` last tokens sees. */
export function firstVisibleKey(seqLen: number, numQueries: number, window: number): number {
  return Math.max(0, seqLen - numQueries + 1 - window);
}

/** Query ranges must partition the first rows of the batch; every page that will be read must exist. Table entries
 * behind the sliding window or past the sequence's end are not read and may hold anything. */
export function checkPages(batch: PagedBatch): void {
  const { blockTables, queryStartLoc, seqLens, numTokens, numBlocks, blockSize, window } = batch;
  const numSeqs = seqLens.length;
  const maxBlocks = numSeqs === 0 ? 0 : blockTables.length / numSeqs;
  if (queryStartLoc[0] !== 0) {
    throw new InvalidArgumentError('pagedAttention queryStartLoc[0]', `must be 0, got ${queryStartLoc[0]}`);
  }
  for (let s = 0; s < numSeqs; s++) {
    const end = queryStartLoc[s + 1]!;
    const numQueries = end - queryStartLoc[s]!;
    if (numQueries < 0 || end > numTokens) {
      const rule = `must be from ${queryStartLoc[s]} (the entry before) to ${numTokens} (the tokens in q)`;
      throw new InvalidArgumentError(`pagedAttention queryStartLoc[${s + 1}]`, `${rule}, got ${end}`);
    }
    const seqLen = seqLens[s]!;
    const capacity = maxBlocks * blockSize;
    if (seqLen !== 0 && (seqLen < numQueries || seqLen > capacity)) {
      const rule = `must be 0 or from ${numQueries} (its queries) to ${capacity} (its block table)`;
      throw new InvalidArgumentError(`pagedAttention seqLens[${s}]`, `${rule}, got ${seqLen}`);
    }
    if (seqLen === 0 || numQueries === 0) continue;
    const firstPage = Math.floor(firstVisibleKey(seqLen, numQueries, window) / blockSize);
    for (let page = firstPage; page * blockSize < seqLen; page++) {
      const block = blockTables[s * maxBlocks + page]!;
      if (block < 0 || block >= numBlocks) {
        const where = `pagedAttention blockTables[${s}][${page}]`;
        throw new InvalidArgumentError(where, `must be from 0 to ${numBlocks - 1}, got ${block}`, { block, numBlocks });
      }
    }
  }
}
