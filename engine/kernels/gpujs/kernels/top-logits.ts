/** The best candidates of each row of logits, one after the other, so that a few bytes per row come back instead of the
 * whole vocabulary. Each takes two kernels: the best of each part of the row that comes after the last one found, then the
 * best of the parts. Candidates are in order: higher logits first, and the lower id first among equals.
 *
 *   found so far   (17, 9.5) (3, 9.5)        what comes next: below 9.5, or 9.5 with an id above 3 */
import type { KernelSource, KernelThread, Matrix, Volume } from '../kernel-source.ts';

/** Threads (part, row). Gives [token id, logit] of the part's best that is not found yet; an id below 0 if none is left.
 * `found` holds the pairs (token id, logit) of earlier places. */
function bestOfPart(
  this: KernelThread,
  logits: Matrix,
  found: Matrix,
  place: number,
  width: number,
  partWidth: number,
): number[] {
  const row = this.thread.y;
  const first = this.thread.x * partWidth;
  let lastId = -1;
  let lastLogit = 0;
  if (place > 0) {
    lastId = found[row]![2 * place - 2]!;
    lastLogit = found[row]![2 * place - 1]!;
  }
  let best = -1;
  let max = 0;
  for (let i = 0; i < partWidth; i++) {
    const id = first + i;
    if (id < width) {
      const logit = logits[row]![id]!;
      if (lastId < 0 || logit < lastLogit || (logit === lastLogit && id > lastId)) {
        if (best < 0 || logit > max) {
          best = id;
          max = logit;
        }
      }
    }
  }
  return [best, max];
}

/** Threads (1, row). Parts are in order of token id, so the first of equals stays. */
function bestOfParts(this: KernelThread, parts: Volume, numParts: number, place: number): number[] {
  const row = this.thread.y;
  let best = -1;
  let max = 0;
  for (let part = 0; part < numParts; part++) {
    const id = parts[row]![part]![0]!;
    const logit = parts[row]![part]![1]!;
    if (id >= 0 && (best < 0 || logit > max)) {
      best = id;
      max = logit;
    }
  }
  return [best, max, 2 * place, 2 * place + 1];
}

export const BEST_OF_PART: KernelSource = {
  kernel: bestOfPart,
  parameters: { logits: 'logit', found: 'f32', place: 'integer', width: 'integer', partWidth: 'integer' },
  result: 'pair',
};

export const BEST_OF_PARTS: KernelSource = {
  kernel: bestOfParts,
  parameters: { parts: 'f32', numParts: 'integer', place: 'integer' },
  result: 'columns',
};
