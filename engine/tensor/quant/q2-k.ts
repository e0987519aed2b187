/** Q2_K: a super-block of 256 elements in 16 sub-blocks of 16, each with a 4-bit scale and a 4-bit minimum.
 * 2.625 bits per element. Quern only reads it.
 *
 *   byte  0            16                       80  82     84
 *         | scales: 16 |  qs: 64 bytes          | d | dmin |
 *           byte s:       2-bit levels           f16  f16
 *           low nibble  scale of sub-block s
 *           high nibble minimum of sub-block s
 *
 *   qs is two halves of 32 bytes, each for 128 elements. Byte l of half h holds four levels, 32 elements apart:
 *
 *       bits   7 6      5 4      3 2      1 0
 *            l + 96   l + 64   l + 32     l      (+ 128 h)
 *
 *   x = d * scale * level - dmin * minimum,  level 0..3
 *
 * Layout: ggml `block_q2_K`. */
import { readF16 } from '../float16.ts';
import type { QuantFormat } from './quant-format.ts';

const BLOCK_SIZE = 256;
const BYTES_PER_BLOCK = 84;

export const q2_k: QuantFormat = {
  dtype: 'q2_k',
  ggmlType: 10,
  blockSize: BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,

  // Products of at most 11 + 4 + 2 bits are exact in f32; the difference rounds once, on the store.
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const d = readF16(src, from + 80);
      const dmin = readF16(src, from + 82);
      for (let sub = 0; sub < 16; sub++) {
        const packed = src[from + sub]!;
        const scale = d * (packed & 15);
        const min = dmin * (packed >> 4);
        const levels = from + 16 + (sub >> 3) * 32 + (sub & 1) * 16;
        const shift = ((sub >> 1) & 3) * 2;
        const to = dstOffset + block * BLOCK_SIZE + sub * 16;
        for (let l = 0; l < 16; l++) dst[to + l] = scale * ((src[levels + l]! >> shift) & 3) - min;
      }
    }
  },
};
