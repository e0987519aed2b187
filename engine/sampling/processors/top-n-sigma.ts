/** Keeps the logits within n standard deviations of the highest. As logits, deviation and limit all scale with
 * temperature alike, the choice does not depend on it.
 *
 *   keep t  if  logit[t] >= max - n * sigma        sigma over the candidates that are not banned
 *
 * Source  Tang et al. 2024, "Top-nσ: Not All Logits Are You Need" */
import type { Candidates } from '../candidates.ts';
import type { LogitsProcessor } from '../logits-processor.ts';

export class TopNSigmaProcessor implements LogitsProcessor {
  readonly name = 'top_n_sigma';
  readonly #n: number;

  constructor(n: number) {
    this.#n = n;
  }

  apply(candidates: Candidates): void {
    const { logits, size } = candidates;
    const max = candidates.maxLogit();
    if (!Number.isFinite(max)) {
      candidates.dropBelow(max);
      return;
    }
    let count = 0;
    let sum = 0;
    for (let i = 0; i < size; i++) {
      if (logits[i] === Number.NEGATIVE_INFINITY) continue;
      sum += logits[i]! - max; // relative to the maximum, so that huge logits lose no digits
      count += 1;
    }
    const mean = sum / count;
    let squares = 0;
    for (let i = 0; i < size; i++) {
      if (logits[i] === Number.NEGATIVE_INFINITY) continue;
      const difference = logits[i]! - max - mean;
      squares += difference * difference;
    }
    candidates.dropBelow(max - this.#n * Math.sqrt(squares / count));
  }
}
