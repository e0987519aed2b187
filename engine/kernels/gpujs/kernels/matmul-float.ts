/** The linear layer over weights that are plain floats: each thread computes one output feature of one token. */
import type { KernelSource, KernelThread, Matrix, Vector } from '../kernel-source.ts';
import { FINISH_PARAMETERS, JOIN_HELPERS, joined } from './join.ts';

/** Threads (feature n, token t). A float is a float to the kernel, whether the weight is stored as f32, f16 or bf16. */
function matmulFloat(
  this: KernelThread,
  x: Matrix,
  weight: Matrix,
  numIn: number,
  bias: Vector,
  hasBias: number,
  earlier: Matrix,
  join: number,
): number {
  const n = this.thread.x;
  const t = this.thread.y;
  let sum = 0;
  for (let k = 0; k < numIn; k++) {
    sum += x[t]![k]! * weight[n]![k]!;
  }
  if (hasBias > 0) {
    sum += bias[n]!;
  }
  if (join > 0) {
    sum = joined(join, earlier[t]![n]!, sum);
  }
  return sum;
}

export const MATMUL_FLOAT = {
  f32: sourceFor('f32'),
  f16: sourceFor('f16'),
  bf16: sourceFor('bf16'),
};

function sourceFor(weight: 'f32' | 'f16' | 'bf16'): KernelSource {
  return {
    kernel: matmulFloat,
    parameters: {
      x: 'f32',
      weight,
      numIn: 'integer',
      ...FINISH_PARAMETERS,
    },
    helpers: JOIN_HELPERS,
    result: 'element',
  };
}
