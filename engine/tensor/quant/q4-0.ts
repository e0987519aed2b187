/** Q4_0: 32 elements share a scale. 4.5 bits per element.
 *
 *   byte  0   2                                  18
 *         | d |  qs: 16 bytes, two levels each   |
 *         f16   byte j: low nibble  -> element j
 *                       high nibble -> element j + 16
 *
 *   x = d * (level - 8),  level 0..15
 *
 * d is chosen so that the element of greatest magnitude becomes level 0 (-8 steps): one side of the range gets the
 * extra level. Layout and algorithm: ggml `block_q4_0`. */
import { readF16, writeF16 } from '../float16.ts';
import { BLOCK_SIZE, signedAbsMax } from './block-extremes.ts';
import type { QuantFormat } from './quant-format.ts';

const BYTES_PER_BLOCK = 18;
const HALF = BLOCK_SIZE / 2;

export const q4_0: QuantFormat = {
  dtype: 'q4_0',
  ggmlType: 2,
  blockSize: BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,
  maxMagnitude: 8 * 65504,

  // 11 bits of d times 4 bits of level: exact in f32, so no rounding step is needed.
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const to = dstOffset + block * BLOCK_SIZE;
      const d = readF16(src, from);
      for (let j = 0; j < HALF; j++) {
        const pair = src[from + 2 + j]!;
        dst[to + j] = ((pair & 15) - 8) * d;
        dst[to + HALF + j] = ((pair >> 4) - 8) * d;
      }
    }
  },

  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BLOCK_SIZE;
      const to = dstOffset + block * BYTES_PER_BLOCK;
      const d = Math.fround(signedAbsMax(src, from) / -8);
      const inverse = d === 0 ? 0 : Math.fround(1 / d);
      writeF16(dst, to, d);
      for (let j = 0; j < HALF; j++) {
        const low = toLevel(src[from + j]!, inverse);
        const high = toLevel(src[from + HALF + j]!, inverse);
        dst[to + 2 + j] = low | (high << 4);
      }
    }
  },
};

/** Adds 8.5 and cuts: rounds and shifts to 0..16 at once; 16 (the extreme of the shorter side) is clamped. */
function toLevel(value: number, inverse: number): number {
  return Math.min(15, Math.fround(Math.fround(value * inverse) + 8.5) | 0);
}
