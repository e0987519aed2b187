/** One choice of a request: its sampler, and the way from token ids to text that may be shown. */
import type { SequenceRows } from '../runner/deal-results.ts';
import type { SummaryNeeds, SummarySupport } from '../sampling/row-summary.ts';
import type { SampleJob } from '../sampling/sample-job.ts';
import type { SampledToken } from '../sampling/sampled-token.ts';
import type { Sampler } from '../sampling/sampler.ts';
import type { StopCriteria } from '../sampling/stop-criteria.ts';
import { StopStringMatcher } from '../sampling/stop-string-matcher.ts';
import type { Sequence } from '../scheduler/sequence.ts';
import type { IncrementalDetokenizer } from '../tokenizer/incremental-detokenizer.ts';
import type { GeneratedLogprob, GenerationChoice, GenerationChunk } from './generation-stream.ts';
import type { SequenceHandler } from './sequence-handler.ts';

export interface ChoiceParts {
  readonly index: number;
  readonly sequence: Sequence;
  readonly sampler: Sampler;
  readonly stopCriteria: StopCriteria;
  readonly detokenizer: IncrementalDetokenizer;
  /** Ids from here on are padding rows of the embedding: they have no text. */
  readonly numTokensWithText: number;
  readonly push: (chunk: GenerationChunk) => void;
  /** Told the answer, or why there is none. */
  readonly onEnd: (outcome: GenerationChoice | Error | undefined) => void;
}

export class Choice implements SequenceHandler {
  readonly rowsWanted = 'next';
  readonly index: number;
  readonly sequence: Sequence;
  readonly #parts: ChoiceParts;
  readonly #stopStrings: StopStringMatcher;
  readonly #tokenIds: number[] = [];
  readonly #logprobs: GeneratedLogprob[] = [];
  #text = '';
  #stopReason: string | number | undefined;
  /** Log-probability of the token that was just sampled, until `acceptToken` takes it. */
  #sampledLogprob: GeneratedLogprob | undefined;

  constructor(parts: ChoiceParts) {
    const { params } = parts.sampler;
    this.index = parts.index;
    this.sequence = parts.sequence;
    this.#parts = parts;
    this.#stopStrings = new StopStringMatcher(params.stop, { includeStop: params.includeStopInOutput });
  }

  summaryNeeds(support: SummarySupport): SummaryNeeds | undefined {
    return this.#parts.sampler.summaryNeeds(support);
  }

  /** Chooses the next token, in a step that reaches the sequence's end: from what the step says of the row if that is
   * enough, else from the row itself, on a worker if there is one. */
  onRows(rows: SequenceRows): Promise<number> | number | undefined {
    if (!rows.samples) return undefined;
    const { summary, logits } = rows;
    const { sampler } = this.#parts;
    const sampled = summary && sampler.sampleFrom(summary, this.sequence);
    if (sampled !== undefined) return this.#note(sampled);
    const job = rows.sampleElsewhere && sampler.jobFor(this.sequence);
    if (job !== undefined) return this.#sampleElsewhere(rows, job);
    return logits.length > 0 ? this.#sample(logits, rows) : rows.fetchLogits().then((row) => this.#sample(row, rows));
  }

  #sample(row: Float32Array, { summary }: SequenceRows): number {
    return this.#note(this.#parts.sampler.sample(row, this.sequence, summary));
  }

  async #sampleElsewhere(rows: SequenceRows, job: SampleJob): Promise<number> {
    const { sampler } = this.#parts;
    const result = await rows.sampleElsewhere!(job);
    // Says what is wrong with the row.
    if (result === 'nothing') {
      return this.#sample(rows.logits.length > 0 ? rows.logits : await rows.fetchLogits(), rows);
    }
    return this.#note(sampler.takeOver(result, rows.logits, rows.summary));
  }

  #note(sampled: SampledToken): number {
    const { tokenId, logprob, topLogprobs = [] } = sampled;
    this.#sampledLogprob = logprob === undefined ? undefined : { tokenId, logprob, top: topLogprobs };
    return tokenId;
  }

  /** Takes in a token that the scheduler has appended; says whether the sequence ends with it. */
  acceptToken(tokenId: number): 'stop' | 'length' | undefined {
    const { stopCriteria, numTokensWithText, detokenizer } = this.#parts;
    const decision = stopCriteria.check(this.sequence);
    if (decision?.finishReason === 'stop') {
      this.#stopReason = decision.stopReason;
      this.#emit('', []);
      return 'stop';
    }
    const piece = tokenId < numTokensWithText ? detokenizer.push(tokenId) : '';
    const text = this.#stopStrings.feed(piece, stopCriteria.mayStop(this.sequence));
    this.#emit(text, [tokenId]);
    if (this.#stopStrings.matched !== undefined) {
      this.#stopReason = this.#stopStrings.matched;
      return 'stop';
    }
    return decision === undefined ? undefined : 'length';
  }

  /** The sequence has ended: puts out what was held back, and tells the request. */
  onEnd(): void {
    const { finishReason, error } = this.sequence;
    const isAnswer = finishReason === 'stop' || finishReason === 'length';
    this.#parts.onEnd(isAnswer ? this.#conclude(finishReason) : error);
  }

  #conclude(reason: 'stop' | 'length'): GenerationChoice {
    const { detokenizer, stopCriteria } = this.#parts;
    const stopStrings = this.#stopStrings;
    let rest = '';
    let finishReason = reason;
    if (stopStrings.matched === undefined) {
      rest = stopStrings.feed(detokenizer.flush(), stopCriteria.mayStop(this.sequence)) + stopStrings.flush();
      // A character that never was completed has become U+FFFD, and that may complete a stop string.
      if (stopStrings.matched !== undefined) {
        finishReason = 'stop';
        this.#stopReason = stopStrings.matched;
      }
    }
    this.#text += rest;
    this.#parts.push({ index: this.index, text: rest, tokenIds: [], finishReason });
    return {
      index: this.index,
      text: this.#text,
      tokenIds: this.#tokenIds,
      finishReason,
      ...(this.#stopReason === undefined ? {} : { stopReason: this.#stopReason }),
      ...(this.#parts.sampler.params.logprobs ? { logprobs: this.#logprobs } : {}),
    };
  }

  #emit(text: string, tokenIds: readonly number[]): void {
    const logprob = this.#sampledLogprob;
    this.#sampledLogprob = undefined;
    this.#text += text;
    this.#tokenIds.push(...tokenIds);
    const logprobs = logprob === undefined || tokenIds.length === 0 ? undefined : [logprob];
    if (logprobs !== undefined) this.#logprobs.push(...logprobs);
    if (text === '' && tokenIds.length === 0) return;
    this.#parts.push({ index: this.index, text, tokenIds, ...(logprobs === undefined ? {} : { logprobs }) });
  }
}
