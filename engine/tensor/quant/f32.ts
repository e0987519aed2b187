/** F32: IEEE 754 binary32, little-endian. One element per "block". */
import type { QuantFormat } from './quant-format.ts';

export const f32: QuantFormat = {
  dtype: 'f32',
  ggmlType: 0,
  blockSize: 1,
  bytesPerBlock: 4,
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    const bytes = new Uint8Array(dst.buffer, dst.byteOffset + dstOffset * 4, numBlocks * 4);
    bytes.set(src.subarray(srcOffset, srcOffset + numBlocks * 4));
  },
  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    dst.set(new Uint8Array(src.buffer, src.byteOffset + srcOffset * 4, numBlocks * 4), dstOffset);
  },
};
