/** F16: IEEE 754 binary16, little-endian. One element per "block". A value beyond 65504 becomes an infinity.
 *
 *   byte  0        1
 *         ffffffff seeeeeff    s sign, e exponent (bias 15), f fraction */
import { decodeF16, encodeF16 } from '../float16.ts';
import type { QuantFormat } from './quant-format.ts';

export const f16: QuantFormat = {
  dtype: 'f16',
  ggmlType: 1,
  blockSize: 1,
  bytesPerBlock: 2,
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    decodeF16(src, srcOffset, dst.subarray(dstOffset, dstOffset + numBlocks));
  },
  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    encodeF16(src.subarray(srcOffset, srcOffset + numBlocks), dst, dstOffset);
  },
};
