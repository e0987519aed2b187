/** Equips each sequence of a request with what turns its logits into text. */
import type { LoadedModel } from '../loader/loaded-model.ts';
import type { Candidates } from '../sampling/candidates.ts';
import { Sampler } from '../sampling/sampler.ts';
import type { SamplingParams } from '../sampling/sampling-params.ts';
import { StopCriteria } from '../sampling/stop-criteria.ts';
import type { Sequence } from '../scheduler/sequence.ts';
import type { Clock } from '../util/clock.ts';
import { Choice } from './choice.ts';
import { GenerationRequest } from './generation-request.ts';
import type { GenerationStream } from './generation-stream.ts';

export interface ChoicesContext {
  readonly model: LoadedModel;
  readonly stream: GenerationStream;
  readonly params: SamplingParams;
  readonly seed: number;
  readonly candidates: Candidates;
  readonly clock: Clock;
  readonly maxModelLen: number;
  /** The generated text goes on where the prompt's text ends. */
  readonly isContinuation: boolean;
  readonly abort: (sequences: readonly Sequence[]) => void;
}

export function createChoices(sequences: readonly Sequence[], context: ChoicesContext): Choice[] {
  const { model, stream, params, seed, candidates, clock, maxModelLen, isContinuation, abort } = context;
  const { tokenizer, config } = model;
  const eogTokenIds = [...tokenizer.endOfGenerationIds].filter((id) => id < config.vocabSize);
  const request = new GenerationRequest({ stream, sequences, seed, clock, abort });
  return sequences.map(
    (sequence, index) =>
      new Choice({
        index,
        sequence,
        sampler: new Sampler({ params, candidates, seed, completionIndex: index, eogTokenIds }),
        stopCriteria: new StopCriteria({ params, eogTokenIds, maxModelLen }),
        detokenizer: tokenizer.createDetokenizer({ continuation: isContinuation, skipSpecial: true }),
        numTokensWithText: tokenizer.vocabSize,
        push: (chunk) => {
          request.noteToken();
          stream.push(chunk);
        },
        onEnd: (outcome) => request.endChoice(outcome),
      }),
  );
}
