/** Collects requests that are computed in one go (embedding, scoring) into batches.
 *
 *   submit --> | . . . . | --> run(batch)      when maxBatchSize wait, or the oldest has waited maxWaitMs
 *
 * Waiting a little buys a fuller batch; the limit bounds what it costs. One batch runs at a time: what arrives meanwhile
 * collects, so the busier the model, the fuller the batches. Generation needs no such thing, as sequences join a running
 * batch at any step (scheduler.ts). Knows nothing of what a request is.
 *
 * Source  NVIDIA Triton Inference Server, "dynamic batcher": max_batch_size, max_queue_delay_microseconds */
import { AbortError, EngineClosedError, InvalidArgumentError, QueueFullError } from '../errors.ts';
import { checkCount } from '../kvcache/count-argument.ts';
import type { TimerClock } from '../util/clock.ts';

export interface DynamicBatcherOptions<Item, Result> {
  /** Computes one result per item, in order. An error fails this batch only. */
  readonly run: (batch: readonly Item[]) => Promise<readonly Result[]>;
  readonly clock: TimerClock;
  /** Requests per batch. Minimum 1, default 32. */
  readonly maxBatchSize?: number;
  /** How long a request may wait for others, in ms, while nothing runs. Minimum 0, default 100. */
  readonly maxWaitMs?: number;
  /** Requests waiting at a time. Minimum 1, default 1024. */
  readonly maxNumQueuedRequests?: number;
}

interface Pending<Item, Result> {
  readonly item: Item;
  readonly arrivalMs: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export class DynamicBatcher<Item, Result> {
  readonly #run: (batch: readonly Item[]) => Promise<readonly Result[]>;
  readonly #clock: TimerClock;
  readonly #maxBatchSize: number;
  readonly #maxWaitMs: number;
  readonly #maxNumQueuedRequests: number;
  #queue: Pending<Item, Result>[] = [];
  #cancelTimer: (() => void) | undefined;
  #isRunning = false;
  #isClosed = false;

  /** @throws InvalidArgumentError */
  constructor(options: DynamicBatcherOptions<Item, Result>) {
    const { maxBatchSize = 32, maxWaitMs = 100, maxNumQueuedRequests = 1024 } = options;
    checkCount('maxBatchSize', maxBatchSize, 1);
    checkCount('maxNumQueuedRequests', maxNumQueuedRequests, 1);
    if (!(maxWaitMs >= 0 && maxWaitMs <= 2 ** 31 - 1)) {
      throw new InvalidArgumentError('maxWaitMs', `must be from 0 to 2^31 - 1, got ${maxWaitMs}`);
    }
    this.#run = options.run;
    this.#clock = options.clock;
    this.#maxBatchSize = maxBatchSize;
    this.#maxWaitMs = maxWaitMs;
    this.#maxNumQueuedRequests = maxNumQueuedRequests;
  }

  get numQueued(): number {
    return this.#queue.length;
  }

  /** Resolves to the item's result. Rejects with a QueueFullError, an EngineClosedError, an AbortError when `signal`
   * fires while the item waits (once in a batch it is computed to the end), or with what `run` threw. */
  submit(item: Item, signal?: AbortSignal): Promise<Result> {
    if (this.#isClosed) return Promise.reject(new EngineClosedError());
    if (signal?.aborted) return Promise.reject(new AbortError(signal.reason));
    if (this.#queue.length >= this.#maxNumQueuedRequests) {
      return Promise.reject(new QueueFullError('requests', this.#maxNumQueuedRequests));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const pending = { item, arrivalMs: this.#clock.nowMs(), resolve, reject };
    this.#queue.push(pending);
    if (signal !== undefined) this.#listen(signal, pending, promise);
    this.#arm();
    return promise;
  }

  /** Refuses what comes and rejects what waits. A running batch ends as it would. */
  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#queue.splice(0)) reject(new EngineClosedError());
    this.#arm();
  }

  #listen(signal: AbortSignal, pending: Pending<Item, Result>, promise: Promise<Result>): void {
    const onAbort = (): void => {
      const index = this.#queue.indexOf(pending);
      if (index === -1) return;
      this.#queue.splice(index, 1);
      pending.reject(new AbortError(signal.reason));
      this.#arm();
    };
    const stopListening = (): void => signal.removeEventListener('abort', onAbort);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(stopListening, stopListening);
  }

  /** Starts a batch if one is due, and otherwise sets the timer for when the oldest request has waited enough. */
  #arm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const oldest = this.#queue[0];
    if (oldest === undefined || this.#isRunning) return;
    const waitMs = oldest.arrivalMs + this.#maxWaitMs - this.#clock.nowMs();
    if (this.#queue.length >= this.#maxBatchSize || waitMs <= 0) {
      void this.#dispatch();
    } else {
      // A timer may fire a fraction of a millisecond early; `#arm` then sets it again.
      this.#cancelTimer = this.#clock.setTimer(Math.ceil(waitMs), () => this.#arm());
    }
  }

  async #dispatch(): Promise<void> {
    const batch = this.#queue.splice(0, this.#maxBatchSize);
    this.#isRunning = true;
    try {
      const results = await this.#run(batch.map(({ item }) => item));
      if (results.length !== batch.length) {
        throw new InvalidArgumentError('run', `gave ${results.length} results for ${batch.length} requests`);
      }
      for (const [i, { resolve }] of batch.entries()) resolve(results[i]!);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#isRunning = false;
      this.#arm();
    }
  }
}
