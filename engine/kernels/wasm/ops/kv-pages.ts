/** How keys and values lie in the pages of this backend. A page is `[NKV, BS, D]` as the op contract says. Within a head's
 * part they lie, where BS and D are multiples of 16, in strips of 16 tokens, as rows of 16 numbers (or 16 pairs) that attention
 * multiplies as they are (generators/attention-product.ts):
 *
 *   keys      a row is one feature of 16 tokens, or two
 *     f32, f16   | d0: t0 t1 ... t15 | d1: t0 t1 ... t15 | ...                     D rows, then the next 16 tokens
 *     q8_0       | 16 scales | d0 d1: t0 t0 t1 t1 ... t15 | d2 d3: ... | ... d30 d31 | 16 scales | d32 d33: ...
 *
 *   values    a row is 16 features of one token, or of two
 *     f32, f16   | t0: d0 ... d15 | t1: d0 ... d15 | ... t15 | t0: d16 ... d31 | ...
 *     q8_0       | 16 scales | t0 t1: d0 d0 d1 d1 ... d15 | t2 t3 | t8 t9 | t10 t11 | t4 t5 | ... t14 t15 | t0 t1: d16 ... d31 | ...
 *
 *   otherwise a row per token, as in the reference:  | t0: d0 d1 d2 ... | t1: d0 d1 d2 ... | ...
 *
 * Either way a page has as many bytes as the reference's. Numbers in bytes unless named otherwise. */
import type { Tensor } from '../../../tensor/tensor.ts';
import type { KV_DTYPES } from '../../ops.ts';
import { placeOfKey, Q8_STRIP } from '../generators/attention-rows.ts';
import { attentionScratch, MAX_GROUP, STRIP } from '../generators/attention-scratch.ts';
import { ROW_FORMATS } from '../generators/row-formats.ts';
import type { Kernel } from '../kernel-module.ts';
import { THREAD_SCRATCH_BYTES } from '../linear-memory.ts';

type KvDType = (typeof KV_DTYPES)[number];

export interface KvPages {
  readonly dtype: KvDType;
  readonly headDim: number;
  /** In tokens. */
  readonly blockSize: number;
  /** A token's row. */
  readonly rowBytes: number;
  /** A head's part of a page. */
  readonly headBytes: number;
  readonly blockBytes: number;
  /** Whether keys and values lie in strips. */
  readonly inStrips: boolean;
  /** 16 tokens of a head. */
  readonly stripBytes: number;
}

export function kvPages(cache: Tensor): KvPages {
  const [, numKvHeads, blockSize, headDim] = cache.shape as [number, number, number, number];
  const dtype = cache.dtype as KvDType;
  const { blockElements, bytesPerBlock } = ROW_FORMATS[dtype];
  const rowBytes = (headDim / blockElements) * bytesPerBlock;
  const headBytes = blockSize * rowBytes;
  const inStrips = blockSize % STRIP === 0 && headDim % STRIP === 0;
  const blockBytes = numKvHeads * headBytes;
  return { dtype, headDim, blockSize, rowBytes, headBytes, blockBytes, inStrips, stripBytes: STRIP * rowBytes };
}

/** Puts the row at `source` to place `lane` of the strip of q8_0 at `strip`.
 * @returns what its kernel does */
export type PutRow = (source: number, strip: number, lane: number) => number;

/** For keys and for values, by kernels that take a row and the places of its scale and its levels in the strip's first
 * block. */
export function levelPutters(putKey: Kernel, putValue: Kernel, headDim: number): [key: PutRow, value: PutRow] {
  const numBlocks = headDim / Q8_STRIP.features;
  const putter =
    (put: Kernel, placeOfLevels: (lane: number) => number): PutRow =>
    (source, strip, lane) =>
      put(source, strip + 2 * lane, strip + Q8_STRIP.scaleBytes + placeOfLevels(lane), numBlocks);
  return [putter(putKey, (lane) => 2 * lane), putter(putValue, placeOfKey)];
}

/** Whether the kernels read and write these pages. Otherwise the reference does both, and they lie as it wants them: what
 * writes a page and what reads it must agree, so both ask here. */
export function areNative(keyCache: Tensor, valueCache: Tensor): boolean {
  const headDim = keyCache.shape[3]!;
  const { numQueries } = attentionScratch(0, THREAD_SCRATCH_BYTES, headDim);
  return keyCache.dtype === valueCache.dtype && headDim > 0 && numQueries >= MAX_GROUP;
}
