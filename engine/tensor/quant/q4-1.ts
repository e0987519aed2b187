/** Q4_1: 32 elements share a scale and a minimum. 5 bits per element.
 *
 *   byte  0   2   4                                  20
 *         | d | m |  qs: 16 bytes, two levels each   |
 *         f16 f16   byte j: low nibble  -> element j
 *                           high nibble -> element j + 16
 *
 *   x = d * level + m,  level 0..15
 *
 * Layout and algorithm: ggml `block_q4_1`. */
import { readF16, writeF16 } from '../float16.ts';
import { BLOCK_SIZE, blockMax, blockMin } from './block-extremes.ts';
import type { QuantFormat } from './quant-format.ts';

const BYTES_PER_BLOCK = 20;
const HALF = BLOCK_SIZE / 2;

export const q4_1: QuantFormat = {
  dtype: 'q4_1',
  ggmlType: 3,
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
      for (let j = 0; j < HALF; j++) {
        const pair = src[from + 4 + j]!;
        dst[to + j] = (pair & 15) * d + m;
        dst[to + HALF + j] = (pair >> 4) * d + m;
      }
    }
  },

  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BLOCK_SIZE;
      const to = dstOffset + block * BYTES_PER_BLOCK;
      const min = blockMin(src, from);
      const d = Math.fround(Math.fround(blockMax(src, from) - min) / 15);
      const inverse = d === 0 ? 0 : Math.fround(1 / d);
      writeF16(dst, to, d);
      writeF16(dst, to + 2, min);
      for (let j = 0; j < HALF; j++) {
        const low = toLevel(Math.fround(src[from + j]! - min), inverse);
        const high = toLevel(Math.fround(src[from + HALF + j]! - min), inverse);
        dst[to + 4 + j] = low | (high << 4);
      }
    }
  },
};

function toLevel(aboveMin: number, inverse: number): number {
  return Math.min(15, Math.fround(Math.fround(aboveMin * inverse) + 0.5) | 0);
}
