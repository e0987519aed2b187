/** Exclude top choices: with some probability, bans all the likely tokens but the least likely of them, so that the
 * text takes a turn. "Likely" is a probability of at least `threshold`; with fewer than two such tokens nothing happens.
 *
 *   probs  .4  .3  .2  .1     threshold 0.19 bans .4 and .3
 *
 * Source  p-e-w 2024, text-generation-webui pull request 6335 */
import type { Candidates } from '../candidates.ts';
import type { LogitsProcessor, ProcessorContext } from '../logits-processor.ts';

export class XtcProcessor implements LogitsProcessor {
  readonly name = 'xtc';
  readonly #probability: number;
  readonly #threshold: number;

  constructor(probability: number, threshold: number) {
    this.#probability = probability;
    this.#threshold = threshold;
  }

  apply(candidates: Candidates, { rng }: ProcessorContext): void {
    // Tossed for every token, needed or not, so that the sequence of random numbers does not depend on the logits.
    if (rng.nextFloat() >= this.#probability) return;
    candidates.softmax();
    const { logits, probs, size } = candidates;
    let numLikely = 0;
    let leastLikely = -1;
    for (let i = 0; i < size; i++) {
      if (probs[i]! < this.#threshold) continue;
      numLikely += 1;
      // The last of equals: the one that a descending order, lower ids first, would put last.
      if (leastLikely === -1 || probs[i]! <= probs[leastLikely]!) leastLikely = i;
    }
    if (numLikely < 2) return;
    for (let i = 0; i < size; i++) {
      if (probs[i]! >= this.#threshold && i !== leastLikely) logits[i] = Number.NEGATIVE_INFINITY;
    }
  }
}
