/** How a weight format describes itself. One implementation per file in this folder; `quant-registry.ts` lists them.
 *
 * A row of K elements is K / blockSize quant blocks, each `bytesPerBlock` long, stored one after another. Blocks know
 * nothing of each other, so rows never affect one another.
 *
 * The functions trust their arguments (hot loops); `codec.ts` is the checked way in. */
import type { FloatDType } from '../dtype.ts';

export interface QuantFormat {
  readonly dtype: FloatDType;
  /** The format's number in `enum ggml_type`, as GGUF stores it. */
  readonly ggmlType: number;
  /** Elements per quant block. 1 for f32, f16, bf16. */
  readonly blockSize: number;
  readonly bytesPerBlock: number;

  /** Expands `numBlocks` quant blocks. Bit-exact with ggml's C reference: each product and sum rounds to f32.
   * @param src  packed bytes, read from `srcOffset` (bytes, any alignment)
   * @param dst  f32 values, written from `dstOffset` (elements) */
  dequantize(src: Uint8Array, srcOffset: number, dst: Float32Array, dstOffset: number, numBlocks: number): void;

  /** Packs `numBlocks * blockSize` values. Absent for formats that Quern only reads.
   * @param src  f32 values, read from `srcOffset` (elements)
   * @param dst  packed bytes, written from `dstOffset` (bytes, any alignment) */
  quantize?(src: Float32Array, srcOffset: number, dst: Uint8Array, dstOffset: number, numBlocks: number): void;

  /** Largest magnitude `quantize` can take; past it a f16 scale would overflow to infinity and take the whole block
   * with it. Absent where every value has an image, NaN and infinities included (f32, f16, bf16). */
  readonly maxMagnitude?: number;
}
