/** Copies whole KV blocks: what copy-on-write costs when two sequences that share a block go different ways. */
import { checkIndices } from '../check-indices.ts';
import type { CopyBlocksArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { hostBytes, intsOf } from './host-memory.ts';

/** A part is a range of bytes of every block, so that each part can carry out the copies in their order without waiting
 * for the others. Numerics: bits are copied.
 * @throws InvalidArgumentError for a block outside the pool. */
export function copyBlocks(args: CopyBlocksArgs, part: Part = WHOLE): void {
  const [numBlocks] = args.keyCache.shape as [number];
  const copies = intsOf(args.copies);
  checkIndices('copyBlocks copies', copies, numBlocks);
  for (const cache of [args.keyCache, args.valueCache]) {
    const bytes = hostBytes(cache).subarray(cache.byteOffset, cache.byteOffset + cache.byteLength);
    const bytesPerBlock = bytes.length / numBlocks;
    const start = partStart(bytesPerBlock, part);
    const end = partEnd(bytesPerBlock, part);
    for (let i = 0; i < copies.length; i += 2) {
      const source = copies[i]! * bytesPerBlock;
      const target = copies[i + 1]! * bytesPerBlock;
      bytes.copyWithin(target + start, source + start, source + end);
    }
  }
}
