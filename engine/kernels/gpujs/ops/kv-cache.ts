/** Ops that write to the paged cache: writeKv and copyBlocks. A page is [NKV, BS, D], and the cache is seen as
 * [B * NKV][BS][D] so that three indices suffice. */
import { UnsupportedError } from '../../../errors.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import { checkIndices, checkSlots } from '../../check-indices.ts';
import type { CopyBlocksArgs, KV_DTYPES, WriteKvArgs } from '../../ops.ts';
import { COPY_BLOCK } from '../kernels/copy-blocks.ts';
import { WRITE_KV } from '../kernels/write-kv.ts';
import { WRITE_KV_LEVELS, WRITE_KV_SCALES } from '../kernels/write-kv-q8-0.ts';
import type { ArrayView } from '../launch.ts';
import { MAX_DIVIDEND } from '../limits.ts';
import { checkInts, type OpTarget } from './op-target.ts';

export function writeKv(target: OpTarget, { k, v, keyCache, valueCache, slotMapping }: WriteKvArgs): void {
  const [numTokens, numKvHeads, headDim] = k.shape as [number, number, number];
  const [numBlocks, , blockSize] = keyCache.shape as [number, number, number, number];
  checkInts(target, slotMapping, (ints) => checkSlots(ints, numBlocks * blockSize));
  for (const [values, cache] of [
    [k, keyCache],
    [v, valueCache],
  ] as const) {
    const inputs = {
      values: target.view(values, [numTokens, numKvHeads, headDim]),
      slotMapping: target.view(slotMapping, [numTokens]),
      blockSize,
      numKvHeads,
    };
    const dtype = kvDtype(cache);
    if (dtype === 'q8_0') {
      const out = cacheHalves(target, cache);
      target.run(WRITE_KV_SCALES, { inputs, out, threads: [headDim / 32, numKvHeads, numTokens] });
      target.run(WRITE_KV_LEVELS, { inputs, out, threads: [headDim / 2, numKvHeads, numTokens] });
    } else {
      const out = cacheView(target, cache);
      target.run(WRITE_KV[dtype], { inputs, out, threads: [headDim, numKvHeads, numTokens] });
    }
  }
}

export function copyBlocks(target: OpTarget, { keyCache, valueCache, copies }: CopyBlocksArgs): void {
  const [numBlocks, numKvHeads, blockSize] = keyCache.shape as [number, number, number, number];
  const [numCopies] = copies.shape as [number, number];
  checkInts(target, copies, (ints) => checkIndices('copyBlocks copies', ints, numBlocks));
  for (const cache of [keyCache, valueCache]) {
    const dtype = kvDtype(cache);
    const view = dtype === 'q8_0' ? cacheHalves(target, cache) : cacheView(target, cache);
    for (let copy = 0; copy < numCopies; copy++) {
      target.run(COPY_BLOCK[dtype], {
        inputs: { cache: view, copies: target.view(copies, [numCopies, 2]), copy, numKvHeads },
        out: view,
        threads: [view.dims[2]!, blockSize, numKvHeads],
      });
    }
  }
}

export function cacheView(target: OpTarget, cache: Tensor): ArrayView {
  const [numBlocks, numKvHeads, blockSize, headDim] = cache.shape as [number, number, number, number];
  return target.view(cache, [numBlocks * numKvHeads, blockSize, headDim]);
}

/** A cache of q8_0 as the halves that its quant blocks are made of. */
function cacheHalves(target: OpTarget, cache: Tensor): ArrayView {
  const [numBlocks, numKvHeads, blockSize, headDim] = cache.shape as [number, number, number, number];
  return target.halves(cache, [numBlocks * numKvHeads, blockSize, (headDim / 32) * 17]);
}

/** Which of its kernels an op takes. */
export function kvDtype({ dtype }: Tensor): (typeof KV_DTYPES)[number] {
  return dtype as (typeof KV_DTYPES)[number];
}

/** Why these kernels cannot use such a cache, if they cannot.
 * @throws UnsupportedError */
export function checkCache(op: string, { shape }: Tensor): void {
  const [numBlocks, , blockSize] = shape as [number, number, number, number];
  const numSlots = numBlocks * blockSize;
  if (numSlots > MAX_DIVIDEND) {
    const rule = `kernels divide exactly up to ${MAX_DIVIDEND}; use fewer KV blocks`;
    throw new UnsupportedError(`${op} with ${numSlots} KV slots`, rule, { op, numSlots, backend: 'gpujs' });
  }
}
