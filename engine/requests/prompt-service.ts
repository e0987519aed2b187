/** Scoring and embedding: requests that read a prompt and generate nothing. They are collected into batches, since each
 * is done in one go and a full batch costs little more than one request. */
import type { EngineCore } from '../engine-core.ts';
import { AbortError, RequestTimeoutError } from '../errors.ts';
import { DynamicBatcher } from '../scheduler/dynamic-batcher.ts';
import { Sequence } from '../scheduler/sequence.ts';
import type { TimerClock } from '../util/clock.ts';
import { OptionReader } from '../util/option-reader.ts';
import { EmbeddingReader, LogprobReader, type Pooling } from './prompt-reader.ts';
import {
  REQUEST_OPTION_NAMES,
  type RequestOptions,
  type RequestSettings,
  readRequestOptions,
} from './request-options.ts';

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

export interface EmbedSettings extends RequestSettings {
  readonly pooling: Pooling;
  readonly normalize: boolean;
}

/** @throws InvalidArgumentError */
export function readScoreOptions(options: ScoreOptions): RequestSettings {
  return readRequestOptions(new OptionReader('score options', options, REQUEST_OPTION_NAMES));
}

/** @throws InvalidArgumentError */
export function readEmbedOptions(options: EmbedOptions): EmbedSettings {
  const reader = new OptionReader('embed options', options, [...REQUEST_OPTION_NAMES, 'pooling', 'normalize']);
  return {
    ...readRequestOptions(reader),
    pooling: reader.oneOf('pooling', ['mean', 'last'], 'mean'),
    normalize: reader.boolean('normalize', true),
  };
}

export interface PromptServiceParts {
  readonly core: EngineCore;
  readonly clock: TimerClock;
  readonly hiddenSize: number;
  readonly batching: {
    readonly maxBatchSize: number;
    readonly maxWaitMs: number;
    readonly maxNumQueuedRequests: number;
  };
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
    const { core, clock, batching } = parts;
    const { maxBatchSize, maxWaitMs, maxNumQueuedRequests } = batching;
    this.#batcher = new DynamicBatcher<Reader, void>({
      clock,
      maxBatchSize,
      maxWaitMs,
      maxNumQueuedRequests,
      run: async (readers) => {
        for (const reader of readers) submitTo(core, reader);
        const settled = await Promise.allSettled(readers.map(({ result }) => result as Promise<unknown>));
        return settled.map(() => undefined);
      },
    });
  }

  /** Requests that wait for their batch. */
  get numCollected(): number {
    return this.#batcher.numQueued;
  }

  async score(tokenIds: Int32Array, settings: RequestSettings): Promise<Score> {
    // The last token is only predicted: what would follow it is not asked for. A text of one token is a sequence all the
    // same, so that it waits, times out and is refused as any other.
    const sequence = this.#sequence(tokenIds.subarray(0, Math.max(1, tokenIds.length - 1)), settings);
    const logprobs = [...(await this.#run(new LogprobReader(sequence, tokenIds), settings))];
    const sumLogprob = logprobs.reduce((sum, logprob) => sum + logprob, 0);
    return {
      tokenIds: [...tokenIds],
      logprobs,
      sumLogprob,
      perplexity: Math.exp(-sumLogprob / logprobs.length),
    };
  }

  async embed(tokenIds: Int32Array, settings: EmbedSettings): Promise<Embedding> {
    const { pooling, normalize } = settings;
    const reader = new EmbeddingReader(this.#sequence(tokenIds, settings), this.#parts.hiddenSize, pooling);
    const vector = await this.#run(reader, settings);
    const length = normalize ? Math.hypot(...vector) : 1;
    return {
      vector: Float32Array.from(vector, (value) => (length === 0 ? 0 : value / length)),
      numTokens: tokenIds.length,
    };
  }

  close(): void {
    this.#batcher.close();
  }

  #sequence(promptTokenIds: Int32Array, { priority, deadlineMs, cacheSalt }: RequestSettings): Sequence {
    return new Sequence({
      id: this.#parts.newSequenceId(),
      promptTokenIds,
      maxNewTokens: 0,
      // Cached rows give no results.
      readsPrefixCache: false,
      priority,
      deadlineMs,
      cacheSalt,
    });
  }

  /** The batcher answers when a whole batch is done; a reader knows at once when it is, or was given up. */
  async #run(reader: Reader, { signal, deadlineMs }: RequestSettings): Promise<Float64Array> {
    const { core, clock } = this.#parts;
    const { sequence } = reader;
    const givenUp = new AbortController();
    const onAbort = (): void => {
      reader.fail(new AbortError(signal?.reason));
      core.giveUp(sequence, 'aborted', signal?.reason);
      givenUp.abort();
    };
    const onDeadline = (): void => {
      reader.fail(new RequestTimeoutError(deadlineMs!, sequence.status === 'running' ? 'running' : 'queued'));
      core.giveUp(sequence, 'timedOut');
      givenUp.abort();
    };
    // The scheduler's own deadline counts from when it gets the sequence, and knows nothing of the wait for a batch.
    const cancelTimer =
      deadlineMs !== undefined && deadlineMs <= MAX_TIMER_MS ? clock.setTimer(deadlineMs, onDeadline) : undefined;
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
