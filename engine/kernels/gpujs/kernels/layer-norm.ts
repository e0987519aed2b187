/** Layer norm in three kernels, each of which needs what all threads of the one before computed: parts of each row's
 * sum, then parts of its squared distances from the mean, then the elements (Ba et al. 2016, eq. 4). */
import type { KernelSource, KernelThread, Matrix, Vector } from '../kernel-source.ts';

/** Threads (part, row). Part p covers the `partWidth` features from p * partWidth, the last one what is left. */
function sumRow(this: KernelThread, x: Matrix, width: number, partWidth: number): number {
  const first = this.thread.x * partWidth;
  let sum = 0;
  for (let j = 0; j < partWidth; j++) {
    if (first + j < width) {
      sum += x[this.thread.y]![first + j]!;
    }
  }
  return sum;
}

/** Threads (part, row). From the mean rather than from 0: a large mean then costs no digits. */
function sumSquaredDistances(
  this: KernelThread,
  x: Matrix,
  sums: Matrix,
  numParts: number,
  width: number,
  partWidth: number,
): number {
  const row = this.thread.y;
  let total = 0;
  for (let part = 0; part < numParts; part++) {
    total += sums[row]![part]!;
  }
  const mean = total / width;
  const first = this.thread.x * partWidth;
  let sum = 0;
  for (let j = 0; j < partWidth; j++) {
    if (first + j < width) {
      const distance = x[row]![first + j]! - mean;
      sum += distance * distance;
    }
  }
  return sum;
}

/** Threads (feature, row). Reads no element of `x` but its own, so the result may be `x` itself. */
function layerNorm(
  this: KernelThread,
  x: Matrix,
  sums: Matrix,
  squares: Matrix,
  numParts: number,
  weight: Vector,
  hasWeight: number,
  bias: Vector,
  hasBias: number,
  width: number,
  eps: number,
): number {
  const i = this.thread.x;
  const row = this.thread.y;
  let total = 0;
  let totalSquares = 0;
  for (let part = 0; part < numParts; part++) {
    total += sums[row]![part]!;
    totalSquares += squares[row]![part]!;
  }
  let value = (x[row]![i]! - total / width) / Math.sqrt(totalSquares / width + eps);
  if (hasWeight > 0) {
    value = value * weight[i]!;
  }
  if (hasBias > 0) {
    value = value + bias[i]!;
  }
  return value;
}

export const SUM_ROW: KernelSource = {
  kernel: sumRow,
  parameters: { x: 'f32', width: 'integer', partWidth: 'integer' },
  result: 'element',
};

export const SUM_SQUARED_DISTANCES: KernelSource = {
  kernel: sumSquaredDistances,
  parameters: { x: 'f32', sums: 'f32', numParts: 'integer', width: 'integer', partWidth: 'integer' },
  result: 'element',
};

export const LAYER_NORM: KernelSource = {
  kernel: layerNorm,
  parameters: {
    x: 'f32',
    sums: 'f32',
    squares: 'f32',
    numParts: 'integer',
    weight: 'f32',
    hasWeight: 'integer',
    bias: 'f32',
    hasBias: 'integer',
    width: 'integer',
    eps: 'float',
  },
  result: 'element',
};
