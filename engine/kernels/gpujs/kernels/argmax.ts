/** Greedy sampling on the device, in two kernels: the largest logit of each part of a row, then of the parts. Four bytes
 * per row come back instead of the whole vocabulary. */
import type { KernelSource, KernelThread, Matrix, Volume } from '../kernel-source.ts';

/** Threads (part, row). Gives the part's largest logit and its token id; the lowest id where several are equal. A NaN
 * is never larger than anything. */
function argmaxParts(this: KernelThread, logits: Matrix, width: number, partWidth: number): number[] {
  const row = this.thread.y;
  const first = this.thread.x * partWidth;
  let best = first;
  let max = logits[row]![first]!;
  for (let i = 1; i < partWidth; i++) {
    if (first + i < width) {
      const logit = logits[row]![first + i]!;
      if (logit > max) {
        max = logit;
        best = first + i;
      }
    }
  }
  return [max, best];
}

/** Threads (row). Parts are in order of token id, so the first of equals stays. */
function argmax(this: KernelThread, parts: Volume, numParts: number): number {
  const row = this.thread.x;
  let max = parts[row]![0]![0]!;
  let best = parts[row]![0]![1]!;
  for (let part = 1; part < numParts; part++) {
    if (parts[row]![part]![0]! > max) {
      max = parts[row]![part]![0]!;
      best = parts[row]![part]![1]!;
    }
  }
  return best;
}

export const ARGMAX_PARTS: KernelSource = {
  kernel: argmaxParts,
  parameters: { logits: 'f32', width: 'integer', partWidth: 'integer' },
  result: 'pair',
};

export const ARGMAX: KernelSource = {
  kernel: argmax,
  parameters: { parts: 'f32', numParts: 'integer' },
  result: 'element',
};
