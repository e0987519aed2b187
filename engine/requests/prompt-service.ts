/** Scoring and embedding: requests that read a prompt and generate nothing. They are collected into batches, since each
 * is done in one go and a full batch costs little more than one request. */
import type { EngineCore } from '../engine-core.ts';
import { AbortError, InvalidArgumentError, RequestTimeoutError } from '../errors.ts';
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

/** The longest time that timers can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

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
        for (const reader of readers) submitTo(core, reader);
        const settled = await Promise.allSettled(readers.map(({ result }) => result as Promise<unknown>));
        return settled.map(() => undefined);
      },
    });
  }

  async score(tokenIds: ArrayLike<number>, options: ScoreOptions): Promise<Score> {
    const reader = new LogprobReader(this.#sequence(tokenIds, options));
    const logprobs = [...(await this.#run(reader, options))];
    const sumLogprob = logprobs.reduce((sum, logprob) => sum + logprob, 0);
    return {
      tokenIds: [...reader.sequence.tokenIds.subarray(0, tokenIds.length)],
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
    const vector = await this.#run(reader, options);
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

  /** The batcher answers when a whole batch is done; a reader knows at once when it is, or was given up. */
  async #run(reader: Reader, { signal, deadlineMs = Number.POSITIVE_INFINITY }: RequestOptions): Promise<Float64Array> {
    const { core, clock } = this.#parts;
    const { sequence } = reader;
    const givenUp = new AbortController();
    const giveUp = (error: Error): void => {
      reader.fail(error);
      core.abort([sequence]);
      givenUp.abort();
    };
    const onAbort = (): void => giveUp(new AbortError(signal?.reason));
    const onDeadline = (): void =>
      giveUp(new RequestTimeoutError(deadlineMs, sequence.status === 'running' ? 'running' : 'queued'));
    // The scheduler's own deadline counts from when it gets the sequence, and knows nothing of the wait for a batch.
    const cancelTimer = deadlineMs <= MAX_TIMER_MS ? clock.setTimer(deadlineMs, onDeadline) : undefined;
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      if (signal?.aborted) onAbort();
      this.#batcher.submit(reader, givenUp.signal).catch((error) => reader.fail(error));
      return await reader.result;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      cancelTimer?.();
    }
  }
}

/** A reader that the scheduler refuses fails alone. */
function submitTo(core: EngineCore, reader: Reader): void {
  try {
    core.submit([reader]);
  } catch (error) {
    reader.fail(error);
  }
}
