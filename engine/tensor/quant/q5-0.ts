/** Q5_0: 32 elements share a scale. 5.5 bits per element.
 *
 *   byte  0   2         6                                          22
 *         | d |   qh    |  qs: 16 bytes, two 4-bit lower parts each |
 *         f16   u32: bit i is     byte j: low nibble  -> element j
 *               bit 4 of                  high nibble -> element j + 16
 *               element i
 *
 *   x = d * (level - 16),  level 0..31
 *
 * Layout and algorithm: ggml `block_q5_0`. */
import { readF16, writeF16 } from '../float16.ts';
import { BLOCK_SIZE, signedAbsMax } from './block-extremes.ts';
import { readU32, writeU32 } from './little-endian.ts';
import type { QuantFormat } from './quant-format.ts';

const BYTES_PER_BLOCK = 22;
const HALF = BLOCK_SIZE / 2;

export const q5_0: QuantFormat = {
  dtype: 'q5_0',
  ggmlType: 6,
  blockSize: BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,
  maxMagnitude: 16 * 65504,

  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const to = dstOffset + block * BLOCK_SIZE;
      const d = readF16(src, from);
      const highBits = readU32(src, from + 2);
      for (let j = 0; j < HALF; j++) {
        const pair = src[from + 6 + j]!;
        const low = (pair & 15) | (((highBits >>> j) & 1) << 4);
        const high = (pair >> 4) | (((highBits >>> (j + HALF)) & 1) << 4);
        dst[to + j] = (low - 16) * d;
        dst[to + HALF + j] = (high - 16) * d;
      }
    }
  },

  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BLOCK_SIZE;
      const to = dstOffset + block * BYTES_PER_BLOCK;
      const d = Math.fround(signedAbsMax(src, from) / -16);
      const inverse = d === 0 ? 0 : Math.fround(1 / d);
      let highBits = 0;
      writeF16(dst, to, d);
      for (let j = 0; j < HALF; j++) {
        const low = toLevel(src[from + j]!, inverse);
        const high = toLevel(src[from + HALF + j]!, inverse);
        dst[to + 6 + j] = (low & 15) | ((high & 15) << 4);
        highBits |= ((low >> 4) << j) | ((high >> 4) << (j + HALF));
      }
      writeU32(dst, to + 2, highBits);
    }
  },
};

/** Rounds and shifts to 0..32 at once; 32 (the extreme of the shorter side) is clamped. */
function toLevel(value: number, inverse: number): number {
  return Math.min(31, Math.fround(Math.fround(value * inverse) + 16.5) | 0);
}
