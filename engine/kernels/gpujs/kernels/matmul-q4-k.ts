/** The linear layer over Q4_K weights, dequantized where they are used.
 *
 *   byte of a super-block of 256   0   2      4             16                           144
 *                                  | d | dmin | 12 bytes of | 128 bytes: 32 for each     |
 *                                               6-bit scales  pair of sub-blocks, one of
 *                                               and minimums  the pair in each nibble
 *
 *   scales, s being their first byte    sub 0..3    scale s[sub] & 63,  minimum s[sub + 4] & 63
 *                                       sub 4..7    low 4 bits in the nibbles of s[sub + 4],
 *                                                   high 2 bits on top of s[sub - 4] and s[sub]
 * Layout: ggml `block_q4_K`. */
import type { KernelSource, KernelThread, Matrix, Vector } from '../kernel-source.ts';
import { FINISH_PARAMETERS, JOIN_HELPERS, joined } from './join.ts';

/** Threads (feature n, token t). */
function matmulQ4_K(
  this: KernelThread,
  x: Matrix,
  bytes: Matrix,
  factors: Matrix,
  numBlocks: number,
  bias: Vector,
  hasBias: number,
  earlier: Matrix,
  join: number,
): number {
  const n = this.thread.x;
  const t = this.thread.y;
  let sum = 0;
  for (let block = 0; block < numBlocks; block++) {
    const start = 144 * block;
    for (let sub = 0; sub < 8; sub++) {
      let scale = bytes[n]![start + 4 + (sub & 3)]!;
      let min = bytes[n]![start + 8 + (sub & 3)]!;
      if (sub < 4) {
        scale = scale & 63;
        min = min & 63;
      } else {
        const low = bytes[n]![start + 8 + sub]!;
        scale = (low & 15) | ((scale >> 6) << 4);
        min = (low >> 4) | ((min >> 6) << 4);
      }
      scale = scale * factors[n]![72 * block]!;
      min = min * factors[n]![72 * block + 1]!;
      for (let l = 0; l < 32; l++) {
        const pair = bytes[n]![start + 16 + 32 * (sub >> 1) + l]!;
        const level = (pair >> (4 * (sub & 1))) & 15;
        sum += (scale * level - min) * x[t]![256 * block + 32 * sub + l]!;
      }
    }
  }
  if (hasBias > 0) {
    sum += bias[n]!;
  }
  if (join > 0) {
    sum = joined(join, earlier[t]![n]!, sum);
  }
  return sum;
}

export const MATMUL_Q4_K: KernelSource = {
  kernel: matmulQ4_K,
  parameters: {
    x: 'f32',
    bytes: 'u8',
    factors: 'f16',
    numBlocks: 'integer',
    ...FINISH_PARAMETERS,
  },
  helpers: JOIN_HELPERS,
  result: 'element',
};
