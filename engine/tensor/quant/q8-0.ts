/** Q8_0: 32 elements share a scale. 8.5 bits per element.
 *
 *   byte  0   2                                34
 *         | d |  qs: 32 signed bytes           |
 *         f16    byte j -> element j
 *
 *   x = d * level,  level -127..127
 *
 * Layout and algorithm: ggml `block_q8_0`. Also a KV cache dtype. */
import { readF16, writeF16 } from '../float16.ts';
import { BLOCK_SIZE, signedAbsMax } from './block-extremes.ts';
import type { QuantFormat } from './quant-format.ts';

const BYTES_PER_BLOCK = 34;

export const q8_0: QuantFormat = {
  dtype: 'q8_0',
  ggmlType: 8,
  blockSize: BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,
  maxMagnitude: 127 * 65504,

  // 11 bits of d times 8 bits of level: exact in f32.
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    const levels = new Int8Array(src.buffer, src.byteOffset, src.byteLength);
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const to = dstOffset + block * BLOCK_SIZE;
      const d = readF16(src, from);
      for (let j = 0; j < BLOCK_SIZE; j++) dst[to + j] = levels[from + 2 + j]! * d;
    }
  },

  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BLOCK_SIZE;
      const to = dstOffset + block * BYTES_PER_BLOCK;
      const d = Math.fround(Math.abs(signedAbsMax(src, from)) / 127);
      const inverse = d === 0 ? 0 : Math.fround(1 / d);
      writeF16(dst, to, d);
      for (let j = 0; j < BLOCK_SIZE; j++) {
        dst[to + 2 + j] = roundHalfAway(Math.fround(src[from + j]! * inverse));
      }
    }
  },
};

/** C's roundf for an f32 of small magnitude: adding a half in f64 is exact, and cutting does the rest. */
function roundHalfAway(value: number): number {
  return (value + (value < 0 ? -0.5 : 0.5)) | 0;
}
