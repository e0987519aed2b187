/** The moving parts behind the facade: scheduler, step loop and metrics around one model. Knows sequences and their
 * handlers; what a prompt is, or a stream, is the business of whoever hands them in. */
import { EngineClosedError } from './errors.ts';
import type { KvCacheManager } from './kvcache/kv-cache-manager.ts';
import type { KvCacheStats } from './kvcache/kv-cache-options.ts';
import { Metrics, type MetricsSnapshot } from './metrics.ts';
import type { ModelConfig } from './model/model-config.ts';
import type { SequenceHandler } from './requests/sequence-handler.ts';
import type { Executor } from './runner/executor.ts';
import type { RowPolicy } from './runner/row-policy.ts';
import { Scheduler, type SchedulerStats } from './scheduler/scheduler.ts';
import type { SchedulerOptions } from './scheduler/scheduler-options.ts';
import type { Sequence } from './scheduler/sequence.ts';
import type { SequenceEvent, SequenceListener } from './scheduler/sequence-events.ts';
import { type DeviceRecovery, StepLoop } from './step-loop.ts';
import type { TimerClock } from './util/clock.ts';

export interface EngineCoreParts {
  readonly config: ModelConfig;
  readonly executor: Executor;
  readonly recovery: DeviceRecovery;
  readonly kvCache: KvCacheManager;
  readonly clock: TimerClock;
  readonly schedulerOptions: Omit<SchedulerOptions, 'stopCheck' | 'listener'>;
  readonly onSequenceEvent: SequenceListener | undefined;
}

export interface CoreStats {
  readonly scheduler: SchedulerStats;
  readonly kvCache: KvCacheStats;
  readonly metrics: MetricsSnapshot;
}

interface Active {
  readonly handler: SequenceHandler;
  /** When the last token came, clock ms. */
  lastTokenMs: number | undefined;
}

export class EngineCore {
  readonly #scheduler: Scheduler;
  readonly #loop: StepLoop;
  readonly #kvCache: KvCacheManager;
  readonly #clock: TimerClock;
  readonly #metrics = new Metrics();
  readonly #onSequenceEvent: SequenceListener | undefined;
  /** Unfinished sequences by id. */
  readonly #active = new Map<number, Active>();
  #isClosed = false;
  #hasListenerThrown = false;

  constructor(parts: EngineCoreParts) {
    const { config, executor, recovery, kvCache, clock, schedulerOptions } = parts;
    this.#kvCache = kvCache;
    this.#clock = clock;
    this.#onSequenceEvent = parts.onSequenceEvent;
    this.#scheduler = new Scheduler(kvCache, clock, {
      ...schedulerOptions,
      stopCheck: (sequence, tokenId) => this.#acceptToken(sequence, tokenId),
      listener: (event, sequence, atMs) => this.#onEvent(event, sequence, atMs),
    });
    const policy: RowPolicy = {
      rowsWanted: (id) => this.#active.get(id)!.handler.rowsWanted,
      needsOf: (id, support) => this.#active.get(id)!.handler.summaryNeeds?.(support),
      promptOf: (id) => this.#active.get(id)!.handler.scoredText!,
    };
    this.#loop = new StepLoop({
      scheduler: this.#scheduler,
      executor,
      recovery,
      clock,
      blockSize: kvCache.geometry.blockSize,
      vocabSize: config.vocabSize,
      hiddenSize: config.hiddenSize,
      policy,
      onRows: (rows) => this.#active.get(rows.id)?.handler.onRows(rows),
    });
  }

  /** Queues sequences, all or none.
   * @throws QueueFullError, ContextLengthError, EngineClosedError */
  submit(handlers: readonly SequenceHandler[]): void {
    if (this.#isClosed) throw new EngineClosedError();
    const sequences = handlers.map(({ sequence }) => sequence);
    for (const handler of handlers) this.#active.set(handler.sequence.id, { handler, lastTokenMs: undefined });
    try {
      this.#scheduler.addAll(sequences);
    } catch (error) {
      for (const { id } of sequences) this.#active.delete(id);
      throw error;
    }
    this.#loop.wake();
  }

  abort(sequences: readonly Sequence[], reason?: unknown): void {
    for (const { id } of sequences) this.#scheduler.abort(id, reason);
    // A listener that ends all sequences of a step before it starts leaves the loop without one, though others wait.
    this.#loop.wake();
  }

  /** Ends a sequence on behalf of its request, which may not have been submitted yet: it counts all the same. */
  giveUp(sequence: Sequence, how: 'aborted' | 'timedOut', reason?: unknown): void {
    const { id } = sequence;
    const isKnown = how === 'timedOut' ? this.#scheduler.expire(id) : this.#scheduler.abort(id, reason);
    if (isKnown) this.#loop.wake();
    else if (!sequence.isFinished) this.#metrics.onEvent(how, sequence, this.#clock.nowMs());
  }

  /** Runs `task` while no step is in flight. */
  betweenSteps<T>(task: () => Promise<T>): Promise<T> {
    return this.#loop.betweenSteps(task);
  }

  stats(): CoreStats {
    return { scheduler: this.#scheduler.stats(), kvCache: this.#kvCache.stats(), metrics: this.#metrics.snapshot() };
  }

  /** Ends every sequence with an EngineClosedError and waits for the step in flight. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#scheduler.failAll(new EngineClosedError());
    await this.#loop.close();
  }

  #acceptToken(sequence: Sequence, tokenId: number): 'stop' | 'length' | undefined {
    const active = this.#active.get(sequence.id);
    if (active === undefined) return undefined;
    const nowMs = this.#clock.nowMs();
    this.#metrics.onToken(active.lastTokenMs === undefined ? undefined : nowMs - active.lastTokenMs);
    active.lastTokenMs = nowMs;
    return active.handler.acceptToken(tokenId);
  }

  #onEvent(event: SequenceEvent, sequence: Sequence, atMs: number): void {
    this.#metrics.onEvent(event, sequence, atMs);
    const active = sequence.isFinished ? this.#active.get(sequence.id) : undefined;
    if (active !== undefined) {
      this.#active.delete(sequence.id);
      active.handler.onEnd();
    }
    this.#tellListener(event, sequence, atMs);
  }

  /** What a listener throws is its own trouble: no request may fail by it, and no caller could catch it. */
  #tellListener(event: SequenceEvent, sequence: Sequence, atMs: number): void {
    try {
      this.#onSequenceEvent?.(event, sequence, atMs);
    } catch (error) {
      if (this.#hasListenerThrown) return;
      this.#hasListenerThrown = true;
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.emitWarning(`onSequenceEvent threw; its later errors are not reported: ${message}`, 'QuernWarning');
    }
  }
}
