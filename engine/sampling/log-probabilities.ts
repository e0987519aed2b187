/** Log-probabilities of the model's own distribution, before any processor: what OpenAI and vLLM report. */
import { argmax } from './argmax.ts';

export interface TokenLogprob {
  readonly tokenId: number;
  /** Natural logarithm of the token's probability, at most 0; -Infinity for a token that cannot occur. */
  readonly logprob: number;
}

/** The log-softmax of one row, without storing it.
 *
 * logprob(i) = row[i] - max - ln(sum over j of exp(row[j] - max)), in float64. Subtracting the maximum first keeps exp
 * within range. NaN counts as -Infinity; logits at +Infinity share everything between them.
 * Source  Blanchard, Higham & Higham 2021, "Accurately computing the log-sum-exp and softmax functions" */
export class LogProbabilities {
  readonly #row: Float32Array;
  readonly #max: number;
  readonly #logSum: number;

  /** `row` [vocabSize] must keep its values as long as this object is in use. */
  constructor(row: Float32Array) {
    const best = argmax(row);
    const max = best === -1 ? Number.NEGATIVE_INFINITY : row[best]!;
    let sum = 0;
    for (let i = 0; i < row.length; i++) {
      if (row[i] === max) sum += 1;
      else if (row[i]! < max) sum += Math.exp(row[i]! - max);
    }
    this.#row = row;
    this.#max = max;
    this.#logSum = Math.log(sum);
  }

  of(tokenId: number): number {
    const logit = this.#row[tokenId]!;
    if (logit === this.#max && logit !== Number.NEGATIVE_INFINITY) return -this.#logSum;
    return logit < this.#max ? logit - this.#max - this.#logSum : Number.NEGATIVE_INFINITY;
  }

  /** The `count` likeliest tokens, best first, the lower id first among equals. Fewer if fewer can occur. */
  top(count: number): TokenLogprob[] {
    const row = this.#row;
    const bestIds: number[] = []; // sorted; `count` is small, so insertion is the fastest way
    for (let id = 0; id < row.length && count > 0; id++) {
      const logit = row[id]!;
      if (!(logit > Number.NEGATIVE_INFINITY)) continue;
      if (bestIds.length === count) {
        if (!(logit > row[bestIds[count - 1]!]!)) continue;
        bestIds.pop();
      }
      let place = bestIds.length;
      while (place > 0 && row[bestIds[place - 1]!]! < logit) place -= 1;
      bestIds.splice(place, 0, id);
    }
    return bestIds.map((tokenId) => ({ tokenId, logprob: this.of(tokenId) }));
  }
}
