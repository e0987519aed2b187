/** BF16: the upper half of an f32, little-endian. One element per "block".
 *
 *   byte  0        1
 *         efffffff seeeeeee    s sign, e exponent (bias 127), f fraction */
import { decodeBf16, encodeBf16 } from '../float16.ts';
import type { QuantFormat } from './quant-format.ts';

export const bf16: QuantFormat = {
  dtype: 'bf16',
  ggmlType: 30,
  blockSize: 1,
  bytesPerBlock: 2,
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    decodeBf16(src, srcOffset, dst.subarray(dstOffset, dstOffset + numBlocks));
  },
  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    encodeBf16(src.subarray(srcOffset, srcOffset + numBlocks), dst, dstOffset);
  },
};
