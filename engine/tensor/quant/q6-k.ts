/** Q6_K: a super-block of 256 elements in 16 sub-blocks of 16, each with a signed 8-bit scale.
 * 6.5625 bits per element.
 *
 *   byte  0              128          192           208 210
 *         | ql: 128      | qh: 64     | scales: 16  | d |
 *           lower 4 bits   upper 2      signed bytes  f16
 *
 *   Two halves of 128 elements; half h uses ql from 64 h and qh from 32 h. For l = 0..31:
 *
 *     ql byte l        low nibble -> element l         high nibble -> element l + 64
 *     ql byte l + 32   low nibble -> element l + 32    high nibble -> element l + 96
 *     qh byte l        bits 1 0 -> l    3 2 -> l + 32    5 4 -> l + 64    7 6 -> l + 96
 *
 *   x = d * scale * (level - 32),  level 0..63
 *
 * Layout and algorithm: ggml `block_q6_K`. */
import { readF16 } from '../float16.ts';
import { ScaledSuperBlockQuantizer } from './k-super-block-scaled.ts';
import type { QuantFormat } from './quant-format.ts';

const BLOCK_SIZE = 256;
const BYTES_PER_BLOCK = 210;
const HIGH_BITS = 128;
const SCALES = 192;
const FACTOR = 208;

export const q6_k: QuantFormat = {
  dtype: 'q6_k',
  ggmlType: 14,
  blockSize: BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,
  maxMagnitude: 16 * 65504,

  // 11 + 7 + 5 bits: exact in f32.
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const d = readF16(src, from + FACTOR);
      for (let sub = 0; sub < 16; sub++) {
        const scale = d * ((src[from + SCALES + sub]! << 24) >> 24);
        const quarter = (sub >> 1) & 3; // which 32 of the half
        const within = (sub & 1) * 16;
        const low = from + (sub >> 3) * 64 + (quarter & 1) * 32 + within;
        const high = from + HIGH_BITS + (sub >> 3) * 32 + within;
        const lowShift = (quarter >> 1) * 4;
        const highShift = quarter * 2;
        const to = dstOffset + block * BLOCK_SIZE + sub * 16;
        for (let l = 0; l < 16; l++) {
          const level = ((src[low + l]! >> lowShift) & 15) | (((src[high + l]! >> highShift) & 3) << 4);
          dst[to + l] = scale * (level - 32);
        }
      }
    }
  },

  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    const quantizer = new ScaledSuperBlockQuantizer();
    for (let block = 0; block < numBlocks; block++) {
      const to = dstOffset + block * BYTES_PER_BLOCK;
      if (quantizer.quantize(src, srcOffset + block * BLOCK_SIZE, dst, to + SCALES)) {
        packLevels(quantizer.levels, dst, to);
      } else {
        dst.fill(0, to, to + BYTES_PER_BLOCK);
      }
    }
  },
};

function packLevels(levels: Uint8Array, dst: Uint8Array, to: number): void {
  for (let half = 0; half < 2; half++) {
    const low = to + half * 64;
    const high = to + HIGH_BITS + half * 32;
    for (let l = 0; l < 32; l++) {
      const first = levels[half * 128 + l]!;
      const second = levels[half * 128 + l + 32]!;
      const third = levels[half * 128 + l + 64]!;
      const fourth = levels[half * 128 + l + 96]!;
      dst[low + l] = (first & 15) | ((third & 15) << 4);
      dst[low + l + 32] = (second & 15) | ((fourth & 15) << 4);
      dst[high + l] = (first >> 4) | ((second >> 4) << 2) | ((third >> 4) << 4) | ((fourth >> 4) << 6);
    }
  }
}
