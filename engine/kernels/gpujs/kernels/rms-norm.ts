/** Root-mean-square norm in two kernels, because threads cannot meet: the first lets some threads per row each sum a
 * part of the squares, the second lets every element's thread add up those parts and scale its own element.
 * One kernel alone would read the whole row again for every element (Zhang & Sennrich 2019, eq. 4). */
import type { KernelSource, KernelThread, Matrix, Vector } from '../kernel-source.ts';

/** Threads (part, row). Part p covers the `partWidth` features from p * partWidth, the last one what is left. */
function sumSquares(this: KernelThread, x: Matrix, width: number, partWidth: number): number {
  const first = this.thread.x * partWidth;
  let sum = 0;
  for (let j = 0; j < partWidth; j++) {
    if (first + j < width) {
      const value = x[this.thread.y]![first + j]!;
      sum += value * value;
    }
  }
  return sum;
}

/** Threads (feature, row). Reads no element of `x` but its own, so the result may be `x` itself. */
function rmsNorm(
  this: KernelThread,
  x: Matrix,
  sums: Matrix,
  numParts: number,
  weight: Vector,
  hasWeight: number,
  width: number,
  eps: number,
): number {
  const i = this.thread.x;
  const row = this.thread.y;
  let sum = 0;
  for (let part = 0; part < numParts; part++) {
    sum += sums[row]![part]!;
  }
  let scale = 1 / Math.sqrt(sum / width + eps);
  if (hasWeight > 0) {
    scale = scale * weight[i]!;
  }
  return x[row]![i]! * scale;
}

export const SUM_SQUARES: KernelSource = {
  kernel: sumSquares,
  parameters: { x: 'f32', width: 'integer', partWidth: 'integer' },
  result: 'element',
};

export const RMS_NORM: KernelSource = {
  kernel: rmsNorm,
  parameters: {
    x: 'f32',
    sums: 'f32',
    numParts: 'integer',
    weight: 'f32',
    hasWeight: 'integer',
    width: 'integer',
    eps: 'float',
  },
  result: 'element',
};
