/** Adds a constant to chosen tokens' logits.
 *
 *   logit'[t] = logit[t] + bias[t]        bias -Infinity bans the token, also one the model puts at +Infinity
 *
 * Source  OpenAI API reference, `logit_bias` */
import type { Candidates } from '../candidates.ts';
import type { LogitsProcessor } from '../logits-processor.ts';

export interface LogitBias {
  readonly tokenId: number;
  readonly bias: number;
}

export class LogitBiasProcessor implements LogitsProcessor {
  readonly name = 'logit_bias';
  readonly #biases: readonly LogitBias[];
  readonly #tokenIds: readonly number[];

  constructor(biases: readonly LogitBias[]) {
    this.#biases = biases;
    this.#tokenIds = biases.map(({ tokenId }) => tokenId);
  }

  touchedTokens(): ArrayLike<number> {
    return this.#tokenIds;
  }

  apply(candidates: Candidates): void {
    const { logits } = candidates;
    for (const { tokenId, bias } of this.#biases) {
      const place = candidates.placeOf(tokenId);
      if (place === -1) continue;
      if (bias === Number.NEGATIVE_INFINITY) logits[place] = bias;
      else logits[place]! += bias;
    }
  }
}
