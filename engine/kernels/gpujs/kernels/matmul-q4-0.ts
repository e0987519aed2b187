/** The linear layer over Q4_0 weights, dequantized where they are used: the weight never exists as floats.
 *
 *   a row, as bytes    | d d | 16 bytes, two levels each | d d | 16 bytes ...      18 bytes per 32 elements
 *   the same as halves |  d  | 8 halves (unused)         |  d  | ...                9 halves
 *
 * Both views are of the same memory: `levels` reads its bytes, `scales` its halves. Layout: ggml `block_q4_0`. */
import type { KernelSource, KernelThread, Matrix, Vector } from '../kernel-source.ts';
import { FINISH_PARAMETERS, JOIN_HELPERS, joined } from './join.ts';

/** Threads (feature n, token t). A quant block shares its scale, so that is multiplied in once per block. */
function matmulQ4_0(
  this: KernelThread,
  x: Matrix,
  levels: Matrix,
  scales: Matrix,
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
    let dot = 0;
    for (let j = 0; j < 16; j++) {
      const pair = levels[n]![18 * block + 2 + j]!;
      dot += ((pair & 15) - 8) * x[t]![32 * block + j]!;
      dot += ((pair >> 4) - 8) * x[t]![32 * block + 16 + j]!;
    }
    sum += scales[n]![9 * block]! * dot;
  }
  if (hasBias > 0) {
    sum += bias[n]!;
  }
  if (join > 0) {
    sum = joined(join, earlier[t]![n]!, sum);
  }
  return sum;
}

export const MATMUL_Q4_0: KernelSource = {
  kernel: matmulQ4_0,
  parameters: {
    x: 'f32',
    levels: 'u8',
    scales: 'f16',
    numBlocks: 'integer',
    ...FINISH_PARAMETERS,
  },
  helpers: JOIN_HELPERS,
  result: 'element',
};
