/** Keeps every sequence from `add` to its end, and says in each step what the model computes.
 *
 *   add --> waiting --> running --> finished        loop { output = schedule()   undefined: nothing to do, wait
 *              ^           |                               run the model on output
 *              +-preempted-+                               update(output, sampled) }
 *
 * Sole writer of sequences' status and counts. Pure (law 4): no model, no text, no timers, only the clock handed in. Calls
 * may come at any moment, also between `schedule` and `update`; a step in flight is never overtaken by the next. */
import { AbortError, InvalidArgumentError, RequestTimeoutError } from '../errors.ts';
import type { KvCacheManager } from '../kvcache/kv-cache-manager.ts';
import type { Clock } from '../util/clock.ts';
import { checkNewSequences } from './new-sequences.ts';
import { SortedQueue } from './request-queue.ts';
import { type ResolvedSchedulerOptions, resolveSchedulerOptions, type SchedulerOptions } from './scheduler-options.ts';
import {
  describeScheduled,
  type SampledTokens,
  type ScheduledSequence,
  type SchedulerOutput,
} from './scheduler-output.ts';
import type { FinishReason, Sequence } from './sequence.ts';
import { type SequenceEvent, SequenceEvents } from './sequence-events.ts';
import { type StepPlan, StepPlanner } from './step-planner.ts';

const END_EVENTS: Readonly<Record<FinishReason, SequenceEvent>> = {
  stop: 'finished',
  length: 'finished',
  abort: 'aborted',
  timeout: 'timedOut',
  error: 'failed',
};

export interface SchedulerStats {
  readonly numWaiting: number;
  readonly numWaitingTokens: number;
  readonly numRunning: number;
  /** Since the start. */
  readonly numPreemptions: number;
  readonly numSteps: number;
  readonly numScheduledTokens: number;
}

/** A step between `schedule` and `update`. Sequences are kept beside the output, as an id may be used again. */
interface StepInFlight {
  readonly output: SchedulerOutput;
  readonly sequences: readonly Sequence[];
}

export class Scheduler {
  readonly options: ResolvedSchedulerOptions;
  readonly #kvCache: KvCacheManager;
  readonly #clock: Clock;
  readonly #waiting: SortedQueue;
  readonly #running: SortedQueue;
  readonly #planner: StepPlanner;
  readonly #events: SequenceEvents;
  /** All that are not finished, by id. */
  readonly #sequences = new Map<number, Sequence>();
  #inFlight: StepInFlight | undefined;
  #preemptedIds: number[] = [];
  #finishedIds: number[] = [];
  #nextExpiryMs = Number.POSITIVE_INFINITY;
  #numArrivals = 0;
  #numPreemptions = 0;
  #numSteps = 0;
  #numScheduledTokens = 0;

  /** @throws InvalidArgumentError */
  constructor(kvCacheManager: KvCacheManager, clock: Clock, options: SchedulerOptions = {}) {
    this.options = resolveSchedulerOptions(options);
    this.#kvCache = kvCacheManager;
    this.#clock = clock;
    this.#events = new SequenceEvents(options.listener);
    this.#waiting = new SortedQueue(this.options.order);
    this.#running = new SortedQueue(this.options.order);
    const parts = { waiting: this.#waiting, running: this.#running, kvCacheManager };
    this.#planner = new StepPlanner({ ...parts, options: this.options, events: this.#events });
  }

  get hasUnfinished(): boolean {
    return this.#sequences.size > 0;
  }

  get isStepInFlight(): boolean {
    return this.#inFlight !== undefined;
  }

  /** No deadline passes before this clock time, in ms; Infinity without deadlines. For the owner's timer. */
  get nextExpiryMs(): number {
    return this.#nextExpiryMs;
  }

  add(sequence: Sequence): void {
    this.addAll([sequence]);
  }

  /** Queues sequences, all or none.
   * @throws QueueFullError      too many requests or tokens are waiting now
   * @throws ContextLengthError  the whole KV cache could not hold one of them
   * @throws InvalidArgumentError  an id is taken, or a sequence was added before */
  addAll(sequences: readonly Sequence[]): void {
    const { options } = this;
    checkNewSequences(sequences, {
      unfinished: this.#sequences,
      waiting: this.#waiting,
      kvCacheManager: this.#kvCache,
      options,
    });
    const nowMs = this.#clock.nowMs();
    for (const sequence of sequences) {
      sequence.arrivalMs = nowMs;
      sequence.arrivalIndex = this.#numArrivals++;
      this.#sequences.set(sequence.id, sequence);
      this.#waiting.push(sequence);
      this.#nextExpiryMs = Math.min(this.#nextExpiryMs, sequence.expiresAtMs);
      this.#events.add('queued', sequence, nowMs);
    }
    this.#events.deliver();
  }

  /** Ends a sequence with an AbortError and frees its blocks. False when no such sequence is unfinished. */
  abort(sequenceId: number, reason?: unknown): boolean {
    const sequence = this.#sequences.get(sequenceId);
    if (sequence === undefined) return false;
    this.#finish(sequence, 'abort', new AbortError(reason));
    this.#events.deliver();
    return true;
  }

  /** Ends a sequence with a RequestTimeoutError: whoever keeps its deadline knows that it has passed. False when no such
   * sequence is unfinished. */
  expire(sequenceId: number): boolean {
    const sequence = this.#sequences.get(sequenceId);
    if (sequence === undefined) return false;
    this.#timeOut(sequence);
    this.#events.deliver();
    return true;
  }

  /** What to compute next, or `undefined` when there is nothing. Hand the output back by `update` or `failStep`.
   * @throws InvalidArgumentError while a step is in flight */
  schedule(): SchedulerOutput | undefined {
    if (this.#inFlight !== undefined) {
      throw new InvalidArgumentError('schedule', 'the last step was not given back by update() or failStep() yet');
    }
    this.expireDeadlines();
    const plan = this.#planner.plan(this.#clock.nowMs());
    for (const sequence of plan.preempted) this.#preemptedIds.push(sequence.id);
    this.#numPreemptions += plan.preempted.length;
    this.#events.deliver();
    return this.#launch(plan);
  }

  /** Takes in a step that was computed: appends what was sampled, makes full blocks findable, ends sequences. Whatever
   * ended since `schedule` is passed over.
   * @throws InvalidArgumentError, having changed nothing, when `output` is not the step in flight or a sequence that
   *   samples got no token */
  update(output: SchedulerOutput, sampledTokens: SampledTokens): void {
    const { sequences } = this.#checkInFlight(output);
    for (const [i, { id, samples }] of output.scheduled.entries()) {
      if (!samples || sequences[i]!.isFinished || (sampledTokens.get(id)?.length ?? 0) > 0) continue;
      throw new InvalidArgumentError('sampledTokens', `sequence ${id} samples in this step but has no token`);
    }
    this.#inFlight = undefined;
    const nowMs = this.#clock.nowMs();
    for (const [i, scheduled] of output.scheduled.entries()) {
      const sequence = sequences[i]!;
      if (!sequence.isFinished) this.#advance(sequence, scheduled, sampledTokens.get(scheduled.id) ?? [], nowMs);
    }
    this.#events.deliver();
  }

  /** Gives up a step that could not be computed: its sequences fail, all others go on. Their blocks may hold anything,
   * but nothing of this step was made findable. */
  failStep(output: SchedulerOutput, error: Error): void {
    const { sequences } = this.#checkInFlight(output);
    this.#inFlight = undefined;
    for (const sequence of sequences) if (!sequence.isFinished) this.#finish(sequence, 'error', error);
    this.#events.deliver();
  }

  /** Says that everything in the KV cache is gone: nothing can be found in it any more, and a step in flight is given back.
   * Sequences that run fail with the error, or ('restart') wait to be computed again from their first token; what waits
   * goes on waiting. */
  loseKvCache(outcome: Error | 'restart'): void {
    this.#inFlight = undefined;
    const nowMs = this.#clock.nowMs();
    for (const sequence of [...this.#running]) {
      if (outcome !== 'restart') {
        this.#finish(sequence, 'error', outcome);
        continue;
      }
      this.#planner.preempt(sequence, nowMs);
      this.#preemptedIds.push(sequence.id);
      this.#numPreemptions++;
    }
    this.#kvCache.takeBlockCopies();
    this.#kvCache.resetPrefixCache();
    this.#events.deliver();
  }

  /** Ends sequences with an error. Unknown and finished ids are passed over. */
  failSequences(sequenceIds: Iterable<number>, error: Error): void {
    for (const id of sequenceIds) {
      const sequence = this.#sequences.get(id);
      if (sequence !== undefined) this.#finish(sequence, 'error', error);
    }
    this.#events.deliver();
  }

  /** Ends all sequences with an error. A step in flight must still be given back: its blocks are being written to. */
  failAll(error: Error): void {
    this.failSequences([...this.#sequences.keys()], error);
  }

  /** Ends whatever missed its deadline with a RequestTimeoutError. `schedule` does this too; call it when there is
   * nothing to schedule or a step takes long. */
  expireDeadlines(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs < this.#nextExpiryMs) return;
    this.#nextExpiryMs = Number.POSITIVE_INFINITY;
    for (const sequence of [...this.#sequences.values()]) {
      const { expiresAtMs } = sequence;
      if (nowMs < expiresAtMs) this.#nextExpiryMs = Math.min(this.#nextExpiryMs, expiresAtMs);
      else this.#timeOut(sequence);
    }
    this.#events.deliver();
  }

  stats(): SchedulerStats {
    return {
      numWaiting: this.#waiting.size,
      numWaitingTokens: this.#waiting.numTokens,
      numRunning: this.#running.size,
      numPreemptions: this.#numPreemptions,
      numSteps: this.#numSteps,
      numScheduledTokens: this.#numScheduledTokens,
    };
  }

  /** Turns the plan into the message to the runner. Listeners may have ended sequences since it was made. */
  #launch(plan: StepPlan): SchedulerOutput | undefined {
    const sequences: Sequence[] = [];
    const scheduled: ScheduledSequence[] = [];
    let numScheduledTokens = 0;
    for (const [sequence, numTokens] of plan.numTokens) {
      if (sequence.status !== 'running') continue;
      sequences.push(sequence);
      scheduled.push(describeScheduled(sequence, numTokens, this.#kvCache.blockTable(sequence.id)));
      numScheduledTokens += numTokens;
    }
    if (scheduled.length === 0) return undefined;
    this.#numScheduledTokens += numScheduledTokens;
    const output: SchedulerOutput = {
      stepIndex: ++this.#numSteps,
      scheduled,
      numScheduledTokens,
      blockCopies: this.#kvCache.takeBlockCopies(),
      preemptedIds: this.#preemptedIds,
      finishedIds: this.#finishedIds,
    };
    this.#preemptedIds = [];
    this.#finishedIds = [];
    this.#inFlight = { output, sequences };
    return output;
  }

  #advance(sequence: Sequence, step: ScheduledSequence, sampled: readonly number[], nowMs: number): void {
    sequence.numComputedTokens += step.numScheduledTokens;
    this.#kvCache.cacheFullBlocks(sequence);
    const isPromptComputed = sequence.numComputedTokens >= sequence.numPromptTokens;
    if (isPromptComputed && sequence.numGeneratedTokens === 0) this.#events.add('prefilled', sequence, nowMs);
    if (isPromptComputed && sequence.maxNewTokens === 0) this.#finish(sequence, 'length');
    if (!step.samples) return;
    try {
      this.#append(sequence, sampled, nowMs);
    } catch (error) {
      // A stop check that throws, or a token id that is none, is that request's trouble alone.
      this.#finish(sequence, 'error', error instanceof Error ? error : new Error(String(error)));
    }
  }

  #append(sequence: Sequence, sampled: readonly number[], nowMs: number): void {
    for (const tokenId of sampled) {
      sequence.appendToken(tokenId);
      if (sequence.numGeneratedTokens === 1) this.#events.add('firstToken', sequence, nowMs);
      const isLast = sequence.numGeneratedTokens >= sequence.maxNewTokens;
      const reason = this.options.stopCheck(sequence, tokenId) ?? (isLast ? 'length' : undefined);
      if (reason !== undefined) this.#finish(sequence, reason);
      if (sequence.isFinished) return; // or the stop check itself has ended it
    }
  }

  #timeOut(sequence: Sequence): void {
    const state = sequence.status === 'running' ? 'running' : 'queued';
    const { deadlineMs = Number.POSITIVE_INFINITY } = sequence;
    this.#finish(sequence, 'timeout', new RequestTimeoutError(deadlineMs, state));
  }

  #finish(sequence: Sequence, reason: FinishReason, error?: Error): void {
    if (sequence.isFinished) return;
    (sequence.status === 'running' ? this.#running : this.#waiting).remove(sequence);
    this.#kvCache.free(sequence.id);
    this.#sequences.delete(sequence.id);
    sequence.status = 'finished';
    sequence.finishReason = reason;
    sequence.error = error;
    sequence.forkOf = undefined;
    if (sequence.hasStarted) this.#finishedIds.push(sequence.id);
    this.#events.add(END_EVENTS[reason], sequence, this.#clock.nowMs());
  }

  #checkInFlight(output: SchedulerOutput): StepInFlight {
    const inFlight = this.#inFlight;
    if (inFlight?.output === output) return inFlight;
    const current = inFlight === undefined ? 'no step is in flight' : `step ${inFlight.output.stepIndex} is in flight`;
    throw new InvalidArgumentError('output', `step ${output.stepIndex} cannot be given back: ${current}`);
  }
}
