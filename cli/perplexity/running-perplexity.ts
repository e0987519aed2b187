/** Sums up what a model makes of a text, token by token.
 *
 *   nll         mean of -ln p(token | tokens before it)
 *   perplexity  e^nll: as unsure as when choosing blindly among so many tokens (Jelinek et al. 1977) */
export interface PerplexitySummary {
  readonly perplexity: number;
  /** Mean negative log-likelihood per token, in nats. */
  readonly nll: number;
  /** Of `nll`, as if tokens were drawn independently. */
  readonly standardError: number;
  readonly numTokens: number;
}

export class RunningPerplexity {
  #sum = 0;
  #sumOfSquares = 0;
  #numTokens = 0;

  /** @param logprobs  natural logarithms */
  add(logprobs: readonly number[]): void {
    for (const logprob of logprobs) {
      this.#sum -= logprob;
      this.#sumOfSquares += logprob * logprob;
    }
    this.#numTokens += logprobs.length;
  }

  summary(): PerplexitySummary {
    const numTokens = this.#numTokens;
    const nll = this.#sum / numTokens;
    const variance = Math.max(0, this.#sumOfSquares / numTokens - nll * nll);
    const standardError = Math.sqrt(variance / Math.max(1, numTokens - 1));
    return { perplexity: Math.exp(nll), nll, standardError, numTokens };
  }
}
