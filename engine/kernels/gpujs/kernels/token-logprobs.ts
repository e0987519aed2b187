/** The log-probability of one token per row of logits, in two kernels: parts of each row's softmax sum, then the merge.
 *
 *   ln(sum of e^x) = m + ln(1 + others),   m the largest logit, others the sum of e^(x - m) over all the rest
 *
 * No exponential overflows, and the log-probability of a token that is nearly certain, -others, keeps its digits where
 * 1 + others would round them away (Blanchard, Higham & Higham 2021, section 4). */
import type { KernelSource, KernelThread, Matrix, Vector, Volume } from '../kernel-source.ts';

/** Threads (part, row). Part p covers the `partWidth` logits from p * partWidth, the last one what is left.
 * Gives [largest logit m, sum of e^(logit - m) over the part's others]. */
function softmaxParts(this: KernelThread, logits: Matrix, width: number, partWidth: number): number[] {
  const row = this.thread.y;
  const first = this.thread.x * partWidth;
  let max = logits[row]![first]!;
  let best = first;
  for (let i = 1; i < partWidth; i++) {
    if (first + i < width) {
      const logit = logits[row]![first + i]!;
      if (logit > max) {
        max = logit;
        best = first + i;
      }
    }
  }
  let others = 0;
  for (let j = 0; j < partWidth; j++) {
    if (first + j < width && first + j !== best) {
      others += Math.exp(logits[row]![first + j]! - max);
    }
  }
  return [max, others];
}

/** Threads (row). The largest logits of the other parts are among the others. */
function tokenLogprobs(this: KernelThread, logits: Matrix, tokenIds: Vector, parts: Volume, numParts: number): number {
  const row = this.thread.x;
  let max = parts[row]![0]![0]!;
  let best = 0;
  for (let i = 1; i < numParts; i++) {
    if (parts[row]![i]![0]! > max) {
      max = parts[row]![i]![0]!;
      best = i;
    }
  }
  let others = 0;
  for (let j = 0; j < numParts; j++) {
    const weight = Math.exp(parts[row]![j]![0]! - max);
    others += weight * parts[row]![j]![1]!;
    if (j !== best) {
      others += weight;
    }
  }
  let log = Math.log(1 + others);
  if (others < 0.25) {
    // ln(1 + x) = 2 artanh(z), z = x / (2 + x): the first terms of the series, exact to f32 up to here.
    const z = others / (2 + others);
    const square = z * z;
    log = 2 * z * (1 + square * (0.3333333333 + square * (0.2 + square * 0.1428571429)));
  }
  return logits[row]![tokenIds[row]!]! - max - log;
}

export const SOFTMAX_PARTS: KernelSource = {
  kernel: softmaxParts,
  parameters: { logits: 'f32', width: 'integer', partWidth: 'integer' },
  result: 'pair',
};

export const TOKEN_LOGPROBS: KernelSource = {
  kernel: tokenLogprobs,
  parameters: { logits: 'f32', tokenIds: 'i32', parts: 'f32', numParts: 'integer' },
  result: 'element',
};
