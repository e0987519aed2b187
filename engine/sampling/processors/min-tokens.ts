/** Bans the tokens that would end the text until `minTokens` tokens were generated. */
import type { Candidates } from '../candidates.ts';
import type { LogitsProcessor, ProcessorContext } from '../logits-processor.ts';
import { numGeneratedTokens } from '../token-history.ts';

export class MinTokensProcessor implements LogitsProcessor {
  readonly name = 'min_tokens';
  readonly #minTokens: number;
  readonly #endTokenIds: readonly number[];

  /** @param endTokenIds the model's end-of-generation tokens and the request's `stop_token_ids` */
  constructor(minTokens: number, endTokenIds: readonly number[]) {
    this.#minTokens = minTokens;
    this.#endTokenIds = endTokenIds;
  }

  touchedTokens({ history }: ProcessorContext): ArrayLike<number> {
    return numGeneratedTokens(history) < this.#minTokens ? this.#endTokenIds : [];
  }

  apply(candidates: Candidates, context: ProcessorContext): void {
    if (numGeneratedTokens(context.history) >= this.#minTokens) return;
    for (const tokenId of this.#endTokenIds) {
      const place = candidates.placeOf(tokenId);
      if (place !== -1) candidates.logits[place] = Number.NEGATIVE_INFINITY;
    }
  }
}
