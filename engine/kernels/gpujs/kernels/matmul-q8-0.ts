/** The linear layer over Q8_0 weights, dequantized where they are used.
 *
 *   a row, as bytes    | d d | 32 signed bytes | d d | 32 signed bytes ...      34 bytes per 32 elements
 *   the same as halves |  d  | 16 (unused)     |  d  | ...                      17 halves
 *
 * Layout: ggml `block_q8_0`. */
import type { KernelSource, KernelThread, Matrix, Vector } from '../kernel-source.ts';
import { FINISH_PARAMETERS, JOIN_HELPERS, joined } from './join.ts';

/** Threads (feature n, token t). */
function matmulQ8_0(
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
    for (let j = 0; j < 32; j++) {
      dot += levels[n]![34 * block + 2 + j]! * x[t]![32 * block + j]!;
    }
    sum += scales[n]![17 * block]! * dot;
  }
  if (hasBias > 0) {
    sum += bias[n]!;
  }
  if (join > 0) {
    sum = joined(join, earlier[t]![n]!, sum);
  }
  return sum;
}

export const MATMUL_Q8_0: KernelSource = {
  kernel: matmulQ8_0,
  parameters: {
    x: 'f32',
    levels: 'i8',
    scales: 'f16',
    numBlocks: 'integer',
    ...FINISH_PARAMETERS,
  },
  helpers: JOIN_HELPERS,
  result: 'element',
};
