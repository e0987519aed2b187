/** IQ4_NL: 32 elements share a scale; 4-bit codes stand for the sixteen levels of `iq4-codebook.ts`.
 * 4.5 bits per element. Quern only reads it.
 *
 *   byte  0   2                                  18
 *         | d |  qs: 16 bytes, two codes each    |
 *         f16   byte j: low nibble  -> element j
 *                       high nibble -> element j + 16
 *
 *   x = d * LEVELS[code]
 *
 * Layout: ggml `block_iq4_nl`. */
import { readF16 } from '../float16.ts';
import { IQ4_LEVELS } from './iq4-codebook.ts';
import type { QuantFormat } from './quant-format.ts';

const BLOCK_SIZE = 32;
const BYTES_PER_BLOCK = 18;

export const iq4_nl: QuantFormat = {
  dtype: 'iq4_nl',
  ggmlType: 20,
  blockSize: BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,

  // 11 + 7 bits: exact in f32.
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const to = dstOffset + block * BLOCK_SIZE;
      const d = readF16(src, from);
      for (let j = 0; j < 16; j++) {
        const pair = src[from + 2 + j]!;
        dst[to + j] = d * IQ4_LEVELS[pair & 15]!;
        dst[to + 16 + j] = d * IQ4_LEVELS[pair >> 4]!;
      }
    }
  },
};
