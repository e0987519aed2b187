/** Q5_K: a super-block of 256 elements in 8 sub-blocks of 32, each with a 6-bit scale and a 6-bit minimum.
 * 5.5 bits per element.
 *
 *   byte  0   2      4              16             48                            176
 *         | d | dmin | scales: 12   |  qh: 32      |  qs: 128 bytes              |
 *         f16  f16     k-header.ts    bit 4 of       lower 4 bits, as in Q4_K
 *                                     each level
 *
 *   qh byte l, bit s:  bit 4 of element l of sub-block s
 *
 *   x = d * scale * level - dmin * minimum,  level 0..31
 *
 * Layout and algorithm: ggml `block_q5_K`. */
import { readF16 } from '../float16.ts';
import { K_HEADER_BYTES, readMin, readScale } from './k-header.ts';
import { SUPER_BLOCK_SIZE, SuperBlockQuantizer } from './k-super-block.ts';
import type { QuantFormat } from './quant-format.ts';

const BYTES_PER_BLOCK = 176;
const HIGH_BITS = K_HEADER_BYTES;
const LOW_BITS = K_HEADER_BYTES + 32;

export const q5_k: QuantFormat = {
  dtype: 'q5_k',
  ggmlType: 13,
  blockSize: SUPER_BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,
  maxMagnitude: 16 * 65504,

  // Products of at most 11 + 6 + 5 bits are exact in f32; the difference rounds once, on the store.
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const d = readF16(src, from);
      const dmin = readF16(src, from + 2);
      for (let sub = 0; sub < 8; sub++) {
        const scale = d * readScale(src, from, sub);
        const min = dmin * readMin(src, from, sub);
        const low = from + LOW_BITS + (sub >> 1) * 32;
        const high = from + HIGH_BITS;
        const shift = (sub & 1) * 4;
        const to = dstOffset + block * SUPER_BLOCK_SIZE + sub * 32;
        for (let l = 0; l < 32; l++) {
          const level = ((src[low + l]! >> shift) & 15) | (((src[high + l]! >> sub) & 1) << 4);
          dst[to + l] = scale * level - min;
        }
      }
    }
  },

  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    const quantizer = new SuperBlockQuantizer({ maxLevel: 31, firstStretch: -0.5, numSteps: 15 });
    for (let block = 0; block < numBlocks; block++) {
      const to = dstOffset + block * BYTES_PER_BLOCK;
      quantizer.quantize(src, srcOffset + block * SUPER_BLOCK_SIZE, dst, to);
      packLevels(quantizer.levels, dst, to);
    }
  },
};

function packLevels(levels: Uint8Array, dst: Uint8Array, to: number): void {
  for (let l = 0; l < 32; l++) {
    let highBits = 0;
    for (let sub = 0; sub < 8; sub++) highBits |= (levels[sub * 32 + l]! >> 4) << sub;
    dst[to + HIGH_BITS + l] = highBits;
    for (let pair = 0; pair < 4; pair++) {
      const first = levels[pair * 64 + l]! & 15;
      const second = levels[pair * 64 + 32 + l]! & 15;
      dst[to + LOW_BITS + pair * 32 + l] = first | (second << 4);
    }
  }
}
