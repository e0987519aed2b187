/** Q3_K: a super-block of 256 elements in 16 sub-blocks of 16, each with a signed 6-bit scale.
 * 3.4375 bits per element. Quern only reads it.
 *
 *   byte  0            32                       96           108 110
 *         | hmask: 32  |  qs: 64 bytes          | scales: 12 | d |
 *           high bits     lower 2 bits            6 bits each  f16
 *
 *   qs     as in Q2_K: byte l of half h holds elements l, l + 32, l + 64, l + 96 (+ 128 h), from the low bits up
 *   hmask  byte l, bit b: the third bit of element l + 32 b. Set means 0, clear means -4.
 *   scales 16 numbers of 6 bits, stored plus 32, in 12 bytes:
 *            byte  0..7   low nibble: low 4 bits of scales 0..7     high nibble: low 4 bits of scales 8..15
 *            byte  8..11  byte 8 + i: high 2 bits of scales i, i + 4, i + 8, i + 12, from the low bits up
 *
 *   x = d * scale * level,  level -4..3
 *
 * Layout: ggml `block_q3_K`. */
import { readF16 } from '../float16.ts';
import type { QuantFormat } from './quant-format.ts';

const BLOCK_SIZE = 256;
const BYTES_PER_BLOCK = 110;

export const q3_k: QuantFormat = {
  dtype: 'q3_k',
  ggmlType: 11,
  blockSize: BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,

  // 11 + 5 + 3 bits: exact in f32.
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const d = readF16(src, from + 108);
      for (let sub = 0; sub < 16; sub++) {
        const scale = d * subBlockScale(src, from + 96, sub);
        const half = (sub & 1) * 16;
        const levels = from + 32 + (sub >> 3) * 32 + half;
        const shift = ((sub >> 1) & 3) * 2;
        const maskBit = sub >> 1;
        const to = dstOffset + block * BLOCK_SIZE + sub * 16;
        for (let l = 0; l < 16; l++) {
          const highBit = (src[from + half + l]! >> maskBit) & 1;
          dst[to + l] = scale * (((src[levels + l]! >> shift) & 3) + highBit * 4 - 4);
        }
      }
    }
  },
};

function subBlockScale(src: Uint8Array, scales: number, sub: number): number {
  const low = (src[scales + (sub & 7)]! >> ((sub >> 3) * 4)) & 15;
  const high = (src[scales + 8 + (sub & 3)]! >> ((sub >> 2) * 2)) & 3;
  return (low | (high << 4)) - 32;
}
