/** When a sequence ends because of its tokens. Text that ends it is `StopStringMatcher`'s business. */
import type { SamplingParams } from './sampling-params.ts';
import { numGeneratedTokens, type TokenHistory } from './token-history.ts';

export interface StopDecision {
  /** 'stop': the model, a stop token or a stop string ended it; 'length': `max_tokens` or the context's end. */
  readonly finishReason: 'stop' | 'length';
  /** The entry of `stop_token_ids` or `stop` that did it; undefined for the model's own end and for 'length'. */
  readonly stopReason?: number | string;
}

const END_OF_GENERATION: StopDecision = Object.freeze({ finishReason: 'stop' });
const LENGTH: StopDecision = Object.freeze({ finishReason: 'length' });

export interface StopCriteriaOptions {
  readonly params: SamplingParams;
  /** The model's end-of-generation tokens. */
  readonly eogTokenIds: readonly number[];
  /** Tokens that fit into the context, prompt included. */
  readonly maxModelLen: number;
}

export class StopCriteria {
  readonly #eogTokenIds: ReadonlySet<number>;
  readonly #stopTokenIds: ReadonlySet<number>;
  readonly #minTokens: number;
  readonly #maxTokens: number;
  readonly #maxModelLen: number;

  constructor({ params, eogTokenIds, maxModelLen }: StopCriteriaOptions) {
    this.#eogTokenIds = new Set(params.ignoreEos ? [] : eogTokenIds);
    this.#stopTokenIds = new Set(params.stopTokenIds);
    this.#minTokens = params.minTokens;
    this.#maxTokens = params.maxTokens;
    this.#maxModelLen = maxModelLen;
  }

  /** Whether the sequence ends with its last token, to be asked after each generated token. Undefined: go on.
   * The text of a token that stops is not part of the output; that of one that meets a limit is. */
  check(history: TokenHistory): StopDecision | undefined {
    const numGenerated = numGeneratedTokens(history);
    if (numGenerated > 0 && this.mayStop(history)) {
      const tokenId = history.tokenIds[history.numTokens - 1]!;
      if (this.#eogTokenIds.has(tokenId)) return END_OF_GENERATION;
      if (this.#stopTokenIds.has(tokenId)) return { finishReason: 'stop', stopReason: tokenId };
    }
    return numGenerated >= this.#maxTokens || history.numTokens >= this.#maxModelLen ? LENGTH : undefined;
  }

  /** Whether `min_tokens` is met, so that tokens and text may end the sequence. */
  mayStop(history: TokenHistory): boolean {
    return numGeneratedTokens(history) >= this.#minTokens;
  }
}
