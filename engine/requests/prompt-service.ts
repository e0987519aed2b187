/** Scoring and embedding: requests that read a prompt and generate nothing. They are collected into batches, since each
 * is done in one go and a full batch costs little more than one request. */
import type { EngineCore } from '../engine-core.ts';
import { InvalidArgumentError } from '../errors.ts';
import { DynamicBatcher } from '../scheduler/dynamic-batcher.ts';
import { Sequence } from '../scheduler/sequence.ts';
import type { TimerClock } from '../util/clock.ts';
import type { RequestOptions } from './generate-options.ts';
import { EmbeddingReader, LogprobReader, type Pooling } from './prompt-reader.ts';

export type ScoreOptions = RequestOptions;

export interface Score {
  readonly tokenIds: readonly number[];
  /** Natural logarithms, one per token from the second on. */
  readonly logprobs: readonly number[];
  readonly sumLogprob: number;
  /** e to the mean negative log-probability; NaN for a text of one token. */
  readonly perplexity: number;
}

export interface EmbedOptions extends RequestOptions {
  /** 'mean' of all final hidden states, or that of the 'last' token. Default 'mean'. */
  readonly pooling?: Pooling;
  /** Scale to length 1, so that a dot product is a cosine. Default true. */
  readonly normalize?: boolean;
}

export interface Embedding {
  readonly vector: Float32Array;
  readonly numTokens: number;
}

export interface PromptServiceParts {
  readonly core: EngineCore;
  readonly clock: TimerClock;
  readonly hiddenSize: number;
  readonly maxBatchSize: number | undefined;
  readonly maxWaitMs: number | undefined;
  readonly newSequenceId: () => number;
}

type Reader = LogprobReader | EmbeddingReader;

export class PromptService {
  readonly #parts: PromptServiceParts;
  readonly #batcher: DynamicBatcher<Reader, void>;

  constructor(parts: PromptServiceParts) {
    this.#parts = parts;
    const { core, clock, maxBatchSize, maxWaitMs } = parts;
    this.#batcher = new DynamicBatcher<Reader, void>({
      clock,
      ...(maxBatchSize === undefined ? {} : { maxBatchSize }),
      ...(maxWaitMs === undefined ? {} : { maxWaitMs }),
      run: async (readers) => {
        core.submit(readers);
        const settled = await Promise.allSettled(readers.map(({ result }) => result as Promise<unknown>));
        return settled.map(() => undefined);
      },
    });
  }

  async score(tokenIds: ArrayLike<number>, options: ScoreOptions): Promise<Score> {
    const reader = new LogprobReader(this.#sequence(tokenIds, options));
    await this.#run(reader, options);
    const logprobs = [...(await reader.result)];
    const sumLogprob = logprobs.reduce((sum, logprob) => sum + logprob, 0);
    return {
      tokenIds: Array.from(tokenIds),
      logprobs,
      sumLogprob,
      perplexity: Math.exp(-sumLogprob / logprobs.length),
    };
  }

  async embed(tokenIds: ArrayLike<number>, options: EmbedOptions): Promise<Embedding> {
    const { pooling = 'mean', normalize = true } = options;
    if (pooling !== 'mean' && pooling !== 'last') {
      throw new InvalidArgumentError('pooling', `must be 'mean' or 'last', got ${String(pooling)}`);
    }
    const reader = new EmbeddingReader(this.#sequence(tokenIds, options), this.#parts.hiddenSize, pooling);
    await this.#run(reader, options);
    const vector = await reader.result;
    const length = normalize ? Math.hypot(...vector) : 1;
    return {
      vector: Float32Array.from(vector, (value) => (length === 0 ? 0 : value / length)),
      numTokens: tokenIds.length,
    };
  }

  close(): void {
    this.#batcher.close();
  }

  #sequence(promptTokenIds: ArrayLike<number>, { priority, deadlineMs, cacheSalt }: RequestOptions): Sequence {
    return new Sequence({
      id: this.#parts.newSequenceId(),
      promptTokenIds,
      maxNewTokens: 0,
      // Cached rows give no results.
      readsPrefixCache: false,
      ...(priority === undefined ? {} : { priority }),
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      ...(cacheSalt === undefined ? {} : { cacheSalt }),
    });
  }

  async #run(reader: Reader, { signal }: RequestOptions): Promise<void> {
    const onAbort = (): void => this.#parts.core.abort([reader.sequence], signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#batcher.submit(reader, signal);
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }
}
