/** Stores new keys and values in the paged cache. A page is `[NKV, BS, D]`, rows one after another:
 *
 *   slot 13, BS = 4:  block 3, token 1 of it
 *   block 3:  head 0 [t0][t1][t2][t3]  head 1 [t0][t1][t2][t3] ...     each [t] one row of D elements
 *                         ^^                       ^^                  written here                          */
import { checkSlots } from '../check-indices.ts';
import type { WriteKvArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { FormattedView, floatsOf, intsOf } from './host-memory.ts';

/** A part is a range of tokens. Numerics: as the cache's format quantizes a row of D values.
 * @throws InvalidArgumentError for a slot outside the pool or written twice. */
export function writeKv(args: WriteKvArgs, part: Part = WHOLE): void {
  const [numTokens, numKvHeads, headDim] = args.k.shape as [number, number, number];
  const [numBlocks, , blockSize] = args.keyCache.shape as [number, number, number, number];
  const k = floatsOf(args.k);
  const v = floatsOf(args.v);
  const keyCache = new FormattedView(args.keyCache);
  const valueCache = new FormattedView(args.valueCache);
  const slotMapping = intsOf(args.slotMapping);
  checkSlots(slotMapping, numBlocks * blockSize);

  const end = partEnd(numTokens, part);
  for (let t = partStart(numTokens, part); t < end; t++) {
    const slot = slotMapping[t]!;
    if (slot === -1) continue;
    const block = Math.floor(slot / blockSize);
    const slotInBlock = slot % blockSize;
    for (let head = 0; head < numKvHeads; head++) {
      const source = (t * numKvHeads + head) * headDim;
      const target = ((block * numKvHeads + head) * blockSize + slotInBlock) * headDim;
      keyCache.write(target, headDim, k, source);
      valueCache.write(target, headDim, v, source);
    }
  }
}
