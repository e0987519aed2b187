/** Keeps the tokens that are at least `minP` times as likely as the likeliest.
 *
 *   keep t  if  prob[t] >= minP * max prob,  that is  logit[t] >= max logit + ln(minP)
 *
 * The second form needs no softmax.
 * Source  Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs" */
import type { Candidates } from '../candidates.ts';
import type { LogitsProcessor } from '../logits-processor.ts';

export class MinPProcessor implements LogitsProcessor {
  readonly name = 'min_p';
  readonly #logMinP: number;

  constructor(minP: number) {
    this.#logMinP = Math.log(minP);
  }

  apply(candidates: Candidates): void {
    candidates.dropBelow(candidates.maxLogit() + this.#logMinP);
  }
}
