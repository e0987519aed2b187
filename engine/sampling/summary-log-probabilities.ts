/** The log-probabilities of `LogProbabilities`, from a summary of the row. The sum is added up in another order, so the last
 * bits may differ from those. */
import type { TokenLogprob } from './log-probabilities.ts';
import type { SegmentSums } from './segment-sums.ts';

export class SummaryLogProbabilities {
  readonly #row: Float32Array;
  readonly #top: Float32Array;
  readonly #max: number;
  readonly #logSum: number;

  /** @param top   pairs (id, logit), best first
   *  @param sums  at temperature 1, with a finite maximum */
  constructor(row: Float32Array, top: Float32Array, sums: SegmentSums) {
    this.#row = row;
    this.#top = top;
    this.#max = sums.max;
    this.#logSum = Math.log(sums.total());
  }

  of(tokenId: number): number {
    const logit = this.#row[tokenId]!;
    if (logit === this.#max) return -this.#logSum;
    return logit > Number.NEGATIVE_INFINITY ? logit - this.#max - this.#logSum : Number.NEGATIVE_INFINITY;
  }

  /** The `count` likeliest tokens, best first, the lower id first among equals. Fewer if fewer can occur. */
  top(count: number): TokenLogprob[] {
    const best: TokenLogprob[] = [];
    for (let i = 0; i < count && this.#top[2 * i + 1]! > Number.NEGATIVE_INFINITY; i++) {
      const tokenId = this.#top[2 * i]!;
      best.push({ tokenId, logprob: this.of(tokenId) });
    }
    return best;
  }
}
