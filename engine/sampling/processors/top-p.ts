/** Nucleus sampling: keeps the fewest likeliest tokens whose probabilities together reach p; at least one.
 *
 *   probs  .50  .30  .15  .05     p = 0.8 keeps two, p = 0.81 keeps three
 *
 * Source  Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", eq. 2 */
import type { Candidates } from '../candidates.ts';
import type { LogitsProcessor } from '../logits-processor.ts';

export class TopPProcessor implements LogitsProcessor {
  readonly name = 'top_p';
  readonly #p: number;

  constructor(p: number) {
    this.#p = p;
  }

  apply(candidates: Candidates): void {
    candidates.softmax();
    candidates.keepBest(candidates.logits, candidates.probs, this.#p);
  }
}
