/** Chooses one request's next token from a row of logits. Owns the request's random numbers; borrows the candidates,
 * which it shares with every other sampler of the engine, for the length of one call.
 *
 * The choice depends on the row, the sequence's tokens, the options, the seed and how many tokens were drawn before,
 * and on nothing else: not on other requests, nor on the batch. */
import { InvalidArgumentError, NonFiniteLogitsError, ShapeError } from '../errors.ts';
import { Rng, type RngState } from '../util/rng.ts';
import { argmax } from './argmax.ts';
import type { Candidates } from './candidates.ts';
import { draw } from './draw.ts';
import { LogProbabilities } from './log-probabilities.ts';
import type { LogitsProcessor } from './logits-processor.ts';
import { buildProcessorChain, type ProcessorChain } from './processor-chain.ts';
import { TopKProcessor } from './processors/top-k.ts';
import { type RowSummary, type SummaryNeeds, type SummarySupport, sumsAt } from './row-summary.ts';
import type { SampleJob, SampleJobResult } from './sample-job.ts';
import type { SampledToken } from './sampled-token.ts';
import type { SamplingParams } from './sampling-params.ts';
import { SummaryLogProbabilities } from './summary-log-probabilities.ts';
import { SummarySampler } from './summary-sampler.ts';
import { type SummaryStrategy, summaryNeedsOf, summaryStrategyOf } from './summary-strategy.ts';
import type { TokenHistory } from './token-history.ts';

export interface SamplerOptions {
  readonly params: SamplingParams;
  /** Working space for the model's vocabulary. One may serve all samplers of a thread. */
  readonly candidates: Candidates;
  /** `params.seed`, or `randomSeed()` where the request has none. */
  readonly seed: number;
  /** Which completion of a request with n > 1, from 0. Default 0. Each draws its own random numbers. */
  readonly completionIndex?: number;
  /** The model's end-of-generation tokens, for `min_tokens`. Default none. */
  readonly eogTokenIds?: readonly number[];
  /** More processors that may ban tokens, such as a grammar's. They run before the filters, greedy or not. */
  readonly masks?: readonly LogitsProcessor[];
}

export class Sampler {
  readonly params: SamplingParams;
  readonly seed: number;
  readonly #candidates: Candidates;
  readonly #chain: ProcessorChain;
  /** Absent when only whole rows will do. */
  readonly #strategy: SummaryStrategy | undefined;
  readonly #summarySampler: SummarySampler | undefined;
  readonly #context: { history: TokenHistory; rng: Rng };
  /** `undefined` when there are masks, which cannot travel. */
  readonly #portable: { readonly eogTokenIds: readonly number[] } | undefined;

  /** @throws InvalidArgumentError for a token id outside the vocabulary, or a seed that is none. */
  constructor(options: SamplerOptions) {
    const { params, candidates, seed, completionIndex = 0, eogTokenIds = [], masks = [] } = options;
    checkTokenIds(params, candidates.vocabSize);
    this.params = params;
    this.seed = seed;
    this.#candidates = candidates;
    this.#chain = buildProcessorChain(params, eogTokenIds, masks);
    this.#context = { history: NO_HISTORY, rng: Rng.fromSeed(seed, completionIndex) };
    this.#portable = masks.length === 0 ? { eogTokenIds } : undefined;
    const strategy = summaryStrategyOf(this.#chain, params.temperature === 0);
    this.#strategy = strategy;
    if (strategy !== undefined) this.#summarySampler = new SummarySampler(strategy, params, this.#chain, candidates);
  }

  /** What `sampleFrom` must be told of a row; `undefined` when only the whole row will do. */
  summaryNeeds(support: SummarySupport): SummaryNeeds | undefined {
    if (this.#strategy === undefined) return undefined;
    const { vocabSize } = this.#candidates;
    return summaryNeedsOf(this.#strategy, { params: this.params, edits: this.#chain.edits, vocabSize }, support);
  }

  /** The next token of `history`: the one that `sample` would give for the whole row; `undefined` when the summary does not
   * say. */
  sampleFrom(summary: RowSummary, history: TokenHistory): SampledToken | undefined {
    this.#context.history = history;
    const tokenId = this.#summarySampler?.choose(summary, this.#context) ?? -1;
    if (tokenId === -1) return undefined;
    return this.params.logprobs ? this.#withLogprobs(tokenId, summary.row!, summary) : { tokenId };
  }

  /** What another thread needs to do `sample` in place of this one; `undefined` when none can. */
  jobFor({ tokenIds, numTokens, numPromptTokens }: TokenHistory): SampleJob | undefined {
    if (this.#portable === undefined) return undefined;
    // Only edits read the tokens, so without any there is no need to send them.
    const sent = this.#chain.edits.length === 0 ? [] : tokenIds.slice(0, numTokens);
    const history = { tokenIds: sent, numTokens, numPromptTokens };
    return { params: this.params, ...this.#portable, rng: this.rngState, history };
  }

  /** Takes in what the other thread did: the token, with log-probabilities that do not depend on who chose it.
   * Shapes  logits [vocabSize], as the job had them */
  takeOver(result: Exclude<SampleJobResult, 'nothing'>, logits: Float32Array, summary?: RowSummary): SampledToken {
    this.rngState = result.rng;
    const isSummarized = this.params.logprobs && summary !== undefined;
    return isSummarized ? this.#withLogprobs(result.sampled.tokenId, logits, summary) : result.sampled;
  }

  /** Where the request's random numbers have got to. */
  get rngState(): RngState {
    return this.#context.rng.snapshot();
  }

  set rngState(state: RngState) {
    this.#context.rng = Rng.fromState(state);
  }

  /** The next token of `history`.
   * Shapes  logits [vocabSize], raw from the model; left as they are
   * Errors  ShapeError; NonFiniteLogitsError when no token can be chosen
   * @param summary  where log-probabilities are taken from if it is there, so that they are the same to the last bit
   *   whether or not it said which token to choose */
  sample(logits: Float32Array, history: TokenHistory, summary?: RowSummary): SampledToken {
    const { vocabSize } = this.#candidates;
    if (logits.length !== vocabSize) throw new ShapeError('sampling', `${vocabSize} logits`, `${logits.length}`);
    const tokenId = this.#choose(logits, history);
    return this.params.logprobs ? this.#withLogprobs(tokenId, logits, summary) : { tokenId };
  }

  #withLogprobs(tokenId: number, logits: Float32Array, summary: RowSummary | undefined): SampledToken {
    const sums = summary === undefined ? undefined : sumsAt(summary, 1);
    const logProbabilities =
      sums === undefined || !Number.isFinite(sums.max)
        ? new LogProbabilities(logits)
        : new SummaryLogProbabilities(logits, summary!.top, sums);
    const topLogprobs = logProbabilities.top(this.params.topLogprobs);
    return { tokenId, logprob: logProbabilities.of(tokenId), topLogprobs };
  }

  #choose(logits: Float32Array, history: TokenHistory): number {
    const { edits, filters } = this.#chain;
    const isGreedy = this.params.temperature === 0;
    if (isGreedy && edits.length === 0) {
      const best = argmax(logits);
      if (best === -1) throw nothingToChoose(logits);
      return best;
    }
    const candidates = this.#candidates;
    const topK = edits.length === 0 && filters[0] instanceof TopKProcessor ? filters[0].k : 0;
    if (topK > 0) candidates.loadTop(logits, topK);
    else candidates.load(logits);
    this.#context.history = history;
    for (const edit of edits) edit.apply(candidates, this.#context);
    for (const filter of filters) filter.apply(candidates, this.#context);
    const place = isGreedy ? argmax(candidates.logits, candidates.size) : draw(candidates, this.#context.rng);
    if (place === -1) throw nothingToChoose(logits);
    return candidates.ids[place]!;
  }
}

const NO_HISTORY: TokenHistory = { tokenIds: [], numTokens: 0, numPromptTokens: 0 };

function nothingToChoose(logits: Float32Array): NonFiniteLogitsError {
  const numNaN = logits.reduce((count, logit) => count + Number(Number.isNaN(logit)), 0);
  const details = { vocabSize: logits.length, numNaN };
  return argmax(logits) === -1
    ? new NonFiniteLogitsError(
        `the model gave no finite logit (${numNaN} NaN, ${logits.length - numNaN} -Infinity); its weights or its ` +
          'arithmetic are broken',
        details,
      )
    : new NonFiniteLogitsError('logit_bias, min_tokens and masks together ban every token', details);
}

function checkTokenIds({ logitBias, stopTokenIds }: SamplingParams, vocabSize: number): void {
  const check = (option: string, tokenId: number) => {
    if (tokenId < vocabSize) return;
    throw new InvalidArgumentError(option, `token ${tokenId} does not exist, the last one is ${vocabSize - 1}`);
  };
  for (const { tokenId } of logitBias) check('logit_bias', tokenId);
  for (const tokenId of stopTokenIds) check('stop_token_ids', tokenId);
}
