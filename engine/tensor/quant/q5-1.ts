/** Q5_1: 32 elements share a scale and a minimum. 6 bits per element.
 *
 *   byte  0   2   4         8                                          24
 *         | d | m |   qh    |  qs: 16 bytes, two 4-bit lower parts each |
 *         f16 f16   u32: bit i is     byte j: low nibble  -> element j
 *                   bit 4 of                  high nibble -> element j + 16
 *                   element i
 *
 *   x = d * level + m,  level 0..31
 *
 * Layout and algorithm: ggml `block_q5_1`. */
import { readF16, writeF16 } from '../float16.ts';
import { BLOCK_SIZE, blockMax, blockMin } from './block-extremes.ts';
import { readU32, writeU32 } from './little-endian.ts';
import type { QuantFormat } from './quant-format.ts';

const BYTES_PER_BLOCK = 24;
const HALF = BLOCK_SIZE / 2;

export const q5_1: QuantFormat = {
  dtype: 'q5_1',
  ggmlType: 7,
  blockSize: BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,
  maxMagnitude: 65504,

  // The product is exact in f32; the sum rounds once, on the store.
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const to = dstOffset + block * BLOCK_SIZE;
      const d = readF16(src, from);
      const m = readF16(src, from + 2);
      const highBits = readU32(src, from + 4);
      for (let j = 0; j < HALF; j++) {
        const pair = src[from + 8 + j]!;
        const low = (pair & 15) | (((highBits >>> j) & 1) << 4);
        const high = (pair >> 4) | (((highBits >>> (j + HALF)) & 1) << 4);
        dst[to + j] = low * d + m;
        dst[to + HALF + j] = high * d + m;
      }
    }
  },

  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BLOCK_SIZE;
      const to = dstOffset + block * BYTES_PER_BLOCK;
      const min = blockMin(src, from);
      const d = Math.fround(Math.fround(blockMax(src, from) - min) / 31);
      const inverse = d === 0 ? 0 : Math.fround(1 / d);
      let highBits = 0;
      writeF16(dst, to, d);
      writeF16(dst, to + 2, min);
      for (let j = 0; j < HALF; j++) {
        const low = toLevel(Math.fround(src[from + j]! - min), inverse);
        const high = toLevel(Math.fround(src[from + HALF + j]! - min), inverse);
        dst[to + 8 + j] = (low & 15) | ((high & 15) << 4);
        highBits |= ((low >> 4) << j) | ((high >> 4) << (j + HALF));
      }
      writeU32(dst, to + 4, highBits);
    }
  },
};

function toLevel(aboveMin: number, inverse: number): number {
  return Math.min(31, Math.fround(Math.fround(aboveMin * inverse) + 0.5) | 0);
}
