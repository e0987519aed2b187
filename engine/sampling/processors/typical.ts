/** Locally typical sampling: keeps the tokens whose surprise is closest to the expected surprise, until their
 * probabilities together reach p. Unlike top-p it may drop the likeliest token, when that one says too little.
 *
 *   surprise[t] = -ln prob[t]          entropy = sum over t of prob[t] * surprise[t]
 *   order by |surprise[t] - entropy|, smallest first; keep the shortest prefix with mass >= p
 *
 * Source  Meister et al. 2023, "Locally Typical Sampling" */
import type { Candidates } from '../candidates.ts';
import type { LogitsProcessor } from '../logits-processor.ts';

export class TypicalProcessor implements LogitsProcessor {
  readonly name = 'typical_p';
  readonly #p: number;

  constructor(p: number) {
    this.#p = p;
  }

  apply(candidates: Candidates): void {
    candidates.softmax();
    const { probs, scores, size } = candidates;
    let entropy = 0;
    for (let i = 0; i < size; i++) {
      const surprise = -Math.log(probs[i]!);
      scores[i] = surprise;
      if (probs[i]! > 0) entropy += probs[i]! * surprise;
    }
    for (let i = 0; i < size; i++) scores[i] = -Math.abs(scores[i]! - entropy); // highest is most typical
    candidates.keepBest(scores, probs, this.#p);
  }
}
