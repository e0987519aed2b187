/** Q4_K: a super-block of 256 elements in 8 sub-blocks of 32, each with a 6-bit scale and a 6-bit minimum.
 * 4.5 bits per element.
 *
 *   byte  0   2      4              16                            144
 *         | d | dmin | scales: 12   |  qs: 128 bytes              |
 *         f16  f16     k-header.ts    32 bytes per pair of sub-blocks
 *
 *   qs byte 32 p + l:  low nibble  -> element l of sub-block 2 p
 *                      high nibble -> element l of sub-block 2 p + 1
 *
 *   x = d * scale * level - dmin * minimum,  level 0..15
 *
 * Layout and algorithm: ggml `block_q4_K`. */
import { readF16 } from '../float16.ts';
import { K_HEADER_BYTES, readMin, readScale } from './k-header.ts';
import { SUPER_BLOCK_SIZE, SuperBlockQuantizer } from './k-super-block.ts';
import type { QuantFormat } from './quant-format.ts';

const BYTES_PER_BLOCK = 144;

export const q4_k: QuantFormat = {
  dtype: 'q4_k',
  ggmlType: 12,
  blockSize: SUPER_BLOCK_SIZE,
  bytesPerBlock: BYTES_PER_BLOCK,
  maxMagnitude: 16 * 65504,

  // Products of at most 11 + 6 + 4 bits are exact in f32; the difference rounds once, on the store.
  dequantize(src, srcOffset, dst, dstOffset, numBlocks) {
    for (let block = 0; block < numBlocks; block++) {
      const from = srcOffset + block * BYTES_PER_BLOCK;
      const d = readF16(src, from);
      const dmin = readF16(src, from + 2);
      for (let sub = 0; sub < 8; sub++) {
        const scale = d * readScale(src, from, sub);
        const min = dmin * readMin(src, from, sub);
        const levels = from + K_HEADER_BYTES + (sub >> 1) * 32;
        const shift = (sub & 1) * 4;
        const to = dstOffset + block * SUPER_BLOCK_SIZE + sub * 32;
        for (let l = 0; l < 32; l++) dst[to + l] = scale * ((src[levels + l]! >> shift) & 15) - min;
      }
    }
  },

  quantize(src, srcOffset, dst, dstOffset, numBlocks) {
    const quantizer = new SuperBlockQuantizer({ maxLevel: 15, firstStretch: -1, numSteps: 20 });
    for (let block = 0; block < numBlocks; block++) {
      const to = dstOffset + block * BYTES_PER_BLOCK;
      quantizer.quantize(src, srcOffset + block * SUPER_BLOCK_SIZE, dst, to);
      packNibbles(quantizer.levels, dst, to + K_HEADER_BYTES);
    }
  },
};

function packNibbles(levels: Uint8Array, dst: Uint8Array, to: number): void {
  for (let pair = 0; pair < 4; pair++) {
    for (let l = 0; l < 32; l++) {
      dst[to + pair * 32 + l] = levels[pair * 64 + l]! | (levels[pair * 64 + 32 + l]! << 4);
    }
  }
}
