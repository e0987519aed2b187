/** Ops that write to the paged cache: writeKv and copyBlocks. A page is [NKV, BS, D], and the cache is seen as
 * [B * NKV][BS][D] so that three indices suffice. */
import { UnsupportedError } from '../../../errors.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import { checkIndices, checkSlots } from '../../check-indices.ts';
import type { CopyBlocksArgs, WriteKvArgs } from '../../ops.ts';
import { COPY_BLOCK } from '../kernels/copy-blocks.ts';
import { WRITE_KV } from '../kernels/write-kv.ts';
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
    target.run(WRITE_KV[kvDtype(cache)], {
      inputs: {
        values: target.view(values, [numTokens, numKvHeads, headDim]),
        slotMapping: target.view(slotMapping, [numTokens]),
        blockSize,
        numKvHeads,
      },
      out: cacheView(target, cache),
      threads: [headDim, numKvHeads, numTokens],
    });
  }
}

export function copyBlocks(target: OpTarget, { keyCache, valueCache, copies }: CopyBlocksArgs): void {
  const [numBlocks, numKvHeads, blockSize, headDim] = keyCache.shape as [number, number, number, number];
  const [numCopies] = copies.shape as [number, number];
  checkInts(target, copies, (ints) => checkIndices('copyBlocks copies', ints, numBlocks));
  for (const cache of [keyCache, valueCache]) {
    const view = cacheView(target, cache);
    for (let copy = 0; copy < numCopies; copy++) {
      target.run(COPY_BLOCK[kvDtype(cache)], {
        inputs: { cache: view, copies: target.view(copies, [numCopies, 2]), copy, numKvHeads },
        out: view,
        threads: [headDim, blockSize, numKvHeads],
      });
    }
  }
}

export function cacheView(target: OpTarget, cache: Tensor): ArrayView {
  const [numBlocks, numKvHeads, blockSize, headDim] = cache.shape as [number, number, number, number];
  return target.view(cache, [numBlocks * numKvHeads, blockSize, headDim]);
}

/** Which of its kernels an op takes; `checkCache` has let no other dtype through. */
export function kvDtype({ dtype }: Tensor): 'f32' | 'f16' {
  return dtype === 'f16' ? 'f16' : 'f32';
}

/** Why these kernels cannot use such a cache, if they cannot.
 * @throws UnsupportedError */
export function checkCache(op: string, { dtype, shape }: Tensor): void {
  const [numBlocks, , blockSize] = shape as [number, number, number, number];
  if (dtype !== 'f32' && dtype !== 'f16') {
    throw new UnsupportedError(
      `${op} with a KV cache of ${dtype}`,
      'a thread here returns one element; take f16 or f32',
      {
        op,
        dtype,
        backend: 'gpujs',
      },
    );
  }
  const numSlots = numBlocks * blockSize;
  if (numSlots > MAX_DIVIDEND) {
    const rule = `kernels divide exactly up to ${MAX_DIVIDEND}; use fewer KV blocks`;
    throw new UnsupportedError(`${op} with ${numSlots} KV slots`, rule, { op, numSlots, backend: 'gpujs' });
  }
}
