/** Chooses one request's next token from a row of logits. Owns the request's random numbers; borrows the candidates,
 * which it shares with every other sampler of the engine, for the length of one call.
 *
 * The choice depends on the row, the sequence's tokens, the options, the seed and how many tokens were drawn before,
 * and on nothing else: not on other requests, nor on the batch. */
import { InvalidArgumentError, NonFiniteLogitsError, ShapeError } from '../errors.ts';
import { Rng } from '../util/rng.ts';
import { argmax } from './argmax.ts';
import type { Candidates } from './candidates.ts';
import { LogProbabilities, type TokenLogprob } from './log-probabilities.ts';
import type { LogitsProcessor } from './logits-processor.ts';
import { buildProcessorChain, type ProcessorChain } from './processor-chain.ts';
import { TopKProcessor } from './processors/top-k.ts';
import type { SamplingParams } from './sampling-params.ts';
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

export interface SampledToken {
  readonly tokenId: number;
  /** Only when the request asked for log-probabilities. */
  readonly logprob?: number;
  /** The likeliest tokens, best first, whether or not the chosen one is among them. Together with `logprob`. */
  readonly topLogprobs?: readonly TokenLogprob[];
}

export class Sampler {
  readonly params: SamplingParams;
  readonly seed: number;
  readonly #candidates: Candidates;
  readonly #chain: ProcessorChain;
  readonly #context: { history: TokenHistory; readonly rng: Rng };

  /** @throws InvalidArgumentError for a token id outside the vocabulary, or a seed that is none. */
  constructor(options: SamplerOptions) {
    const { params, candidates, seed, completionIndex = 0, eogTokenIds = [], masks = [] } = options;
    checkTokenIds(params, candidates.vocabSize);
    this.params = params;
    this.seed = seed;
    this.#candidates = candidates;
    this.#chain = buildProcessorChain(params, eogTokenIds, masks);
    this.#context = { history: NO_HISTORY, rng: Rng.fromSeed(seed, completionIndex) };
  }

  /** The next token of `history`.
   * Shapes  logits [vocabSize], raw from the model; left as they are
   * Errors  ShapeError; NonFiniteLogitsError when no token can be chosen */
  sample(logits: Float32Array, history: TokenHistory): SampledToken {
    const { vocabSize } = this.#candidates;
    if (logits.length !== vocabSize) throw new ShapeError('sampling', `${vocabSize} logits`, `${logits.length}`);
    const tokenId = this.#choose(logits, history);
    if (!this.params.logprobs) return { tokenId };
    const logProbabilities = new LogProbabilities(logits);
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

/** A place, each with its own probability: the first at which the running sum of probabilities exceeds a uniform
 * random number; -1 if every candidate is banned. One number is drawn for every token, however few candidates. */
function draw(candidates: Candidates, rng: Rng): number {
  candidates.softmax();
  const { probs, size } = candidates;
  const target = rng.nextFloat();
  let sum = 0;
  let last = -1;
  for (let place = 0; place < size; place++) {
    if (probs[place] === 0) continue;
    sum += probs[place]!;
    last = place;
    if (target < sum) return place;
  }
  return last; // the sum may end just below 1
}

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
