/** Repetition, frequency and presence penalties: tokens that were there already become less likely.
 *
 * For each token t within the last `lastN` tokens, in this order:
 *   seen anywhere:             logit' = logit / repetition       when logit > 0
 *                              logit' = logit * repetition       otherwise, so that it sinks as well
 *   generated count[t] times:  logit'' = logit' - count[t] * frequency - presence
 *
 * As in vLLM, repetition looks at prompt and generated tokens, frequency and presence at generated ones only.
 * (llama.cpp counts the prompt for all three.)
 *
 * Source  Keskar et al. 2019, "CTRL", section 4.1 (repetition; multiplying negative logits is the customary repair);
 *         OpenAI API reference (frequency and presence) */
import { InvalidArgumentError } from '../../errors.ts';
import type { Candidates } from '../candidates.ts';
import type { LogitsProcessor, ProcessorContext } from '../logits-processor.ts';
import type { TokenHistory } from '../token-history.ts';

export interface Penalties {
  /** Above 0; 1 changes nothing, higher discourages. */
  readonly repetition: number;
  /** Per occurrence; 0 changes nothing. */
  readonly frequency: number;
  /** Once; 0 changes nothing. */
  readonly presence: number;
  /** How many tokens back to look; -1 for all. */
  readonly lastN: number;
}

export class PenaltiesProcessor implements LogitsProcessor {
  readonly name = 'penalties';
  readonly #penalties: Penalties;

  constructor(penalties: Penalties) {
    this.#penalties = penalties;
  }

  touchedTokens({ history }: ProcessorContext): ArrayLike<number> {
    return history.tokenIds.slice(this.#windowStart(history), history.numTokens);
  }

  #windowStart({ numTokens }: TokenHistory): number {
    const { lastN } = this.#penalties;
    return lastN < 0 ? 0 : Math.max(0, numTokens - lastN);
  }

  /** @throws InvalidArgumentError when the history holds an id outside the vocabulary. */
  apply(candidates: Candidates, { history }: ProcessorContext): void {
    const start = this.#windowStart(history);
    checkTokenIds(history, start, candidates.vocabSize);

    // marks[id] = 2 * (times generated) + (1 if seen at all). The second walk applies each mark once and clears it.
    const { marks } = candidates;
    const { tokenIds, numTokens, numPromptTokens } = history;
    for (let i = start; i < numTokens; i++) {
      const id = tokenIds[i]!;
      marks[id] = (marks[id]! | 1) + (i < numPromptTokens ? 0 : 2);
    }
    for (let i = start; i < numTokens; i++) {
      const id = tokenIds[i]!;
      const mark = marks[id]!;
      if (mark === 0) continue;
      marks[id] = 0;
      const place = candidates.placeOf(id);
      if (place !== -1) candidates.logits[place] = this.#penalize(candidates.logits[place]!, mark >>> 1);
    }
  }

  #penalize(logit: number, numGenerated: number): number {
    const { repetition, frequency, presence } = this.#penalties;
    const repeated = logit > 0 ? logit / repetition : logit * repetition;
    return numGenerated === 0 ? repeated : repeated - numGenerated * frequency - presence;
  }
}

function checkTokenIds({ tokenIds, numTokens }: TokenHistory, start: number, vocabSize: number): void {
  for (let i = start; i < numTokens; i++) {
    const id = tokenIds[i]!;
    if (id >>> 0 !== id || id >= vocabSize) {
      throw new InvalidArgumentError('history', `token ${i} has id ${id}, the vocabulary ends at ${vocabSize - 1}`);
    }
  }
}
