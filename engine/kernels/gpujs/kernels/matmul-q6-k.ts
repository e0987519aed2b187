/** The linear layer over Q6_K weights, dequantized where they are used.
 *
 *   byte of a super-block of 256   0              128          192                208 210
 *                                  | low 4 bits   | high 2 bits | 16 signed scales | d |
 *
 *   Sub-block s of 16 elements lies in half h = s >> 3 and in quarter q = (s >> 1) & 3 of it:
 *     low    byte 64 h + 32 (q & 1) + 16 (s & 1) + l,   nibble q >> 1
 *     high   byte 32 h + 16 (s & 1) + l of the high,    bits 2 q and 2 q + 1
 * Layout: ggml `block_q6_K`. */
import type { KernelSource, KernelThread, Matrix, Vector } from '../kernel-source.ts';
import { FINISH_PARAMETERS, JOIN_HELPERS, joined } from './join.ts';

/** Threads (feature n, token t). `scales` and `bytes` are the same bytes, with and without sign. */
function matmulQ6_K(
  this: KernelThread,
  x: Matrix,
  bytes: Matrix,
  scales: Matrix,
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
    const start = 210 * block;
    let blockDot = 0;
    for (let sub = 0; sub < 16; sub++) {
      const quarter = (sub >> 1) & 3;
      const low = start + 64 * (sub >> 3) + 32 * (quarter & 1) + 16 * (sub & 1);
      const high = start + 128 + 32 * (sub >> 3) + 16 * (sub & 1);
      let dot = 0;
      for (let l = 0; l < 16; l++) {
        const lowBits = (bytes[n]![low + l]! >> (4 * (quarter >> 1))) & 15;
        const highBits = (bytes[n]![high + l]! >> (2 * quarter)) & 3;
        dot += (lowBits + 16 * highBits - 32) * x[t]![256 * block + 16 * sub + l]!;
      }
      blockDot += scales[n]![start + 192 + sub]! * dot;
    }
    sum += factors[n]![105 * block + 104]! * blockDot;
  }
  if (hasBias > 0) {
    sum += bias[n]!;
  }
  if (join > 0) {
    sum = joined(join, earlier[t]![n]!, sum);
  }
  return sum;
}

export const MATMUL_Q6_K: KernelSource = {
  kernel: matmulQ6_K,
  parameters: {
    x: 'f32',
    bytes: 'u8',
    scales: 'i8',
    factors: 'f16',
    numBlocks: 'integer',
    ...FINISH_PARAMETERS,
  },
  helpers: JOIN_HELPERS,
  result: 'element',
};
