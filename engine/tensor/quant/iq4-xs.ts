/** IQ4_XS: a super-block of 256 elements in 8 sub-blocks of 32, each with a signed 6-bit scale; 4-bit codes stand for
 * the sixteen levels of `iq4-codebook.ts`. 4.25 bits per element. Quern only reads it.
 *
 *   byte  0   2          4          8                           136
 *         | d | scales_h | scales_l |  qs: 128 bytes            |
 *         f16   u16        4 bytes    16 bytes per sub-block
 *
 *   scale of sub-block s, stored plus 32:
 *     low 4 bits   nibble s of scales_l (low nibble of byte 0, high nibble of byte 0, low nibble of byte 1, ...)
 *     high 2 bits  bits 2 s + 1 and 2 s of scales_h
 *   qs byte 16 s + j: low nibble -> element j of sub-block s, high nibble -> element j + 16
 *
 *   x = d * scale * LEVELS[code]
 *
 * Layout: ggml `block_iq4_xs`. */
import { readF16 } from '../float16.ts';
import { IQ4_LEVELS } from './iq4-codebook.ts';
import type { QuantFormat } from './quant-format.ts';

const BLOCK_SIZE = 256;
const BYTES_PER_BLOCK = 136;

export const iq4_xs: QuantFormat = {
  dtype: 'iq4_xs',
  ggmlType: 23,
  blockSize: BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,

  // 11 + 5 + 7 bits: exact in f32.
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const d = readF16(src, from);
      const highBits = src[from + 2]! | (src[from + 3]! << 8);
      for (let sub = 0; sub < 8; sub++) {
        const low = (src[from + 4 + (sub >> 1)]! >> ((sub & 1) * 4)) & 15;
        const high = (highBits >> (sub * 2)) & 3;
        const scale = d * ((low | (high << 4)) - 32);
        const codes = from + 8 + sub * 16;
        const to = dstOffset + block * BLOCK_SIZE + sub * 32;
        for (let j = 0; j < 16; j++) {
          const pair = src[codes + j]!;
          dst[to + j] = scale * IQ4_LEVELS[pair & 15]!;
          dst[to + 16 + j] = scale * IQ4_LEVELS[pair >> 4]!;
        }
      }
    }
  },
};
