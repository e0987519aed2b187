/** Turns the wheel: schedule a step, compute it, take in what was sampled, again, until nothing is left to do. Runs when
 * there is work and sleeps when there is none; wakes by itself when a deadline passes. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DeviceLostError, EngineClosedError } from './errors.ts';
import { buildBatch } from './runner/batch-builder.ts';
import { dealResults, type SequenceRows } from './runner/deal-results.ts';
import type { Executor } from './runner/executor.ts';
import { freezePolicy, type RowPolicy } from './runner/row-policy.ts';
import { RowSampling } from './runner/row-sampling.ts';
import type { Scheduler } from './scheduler/scheduler.ts';
import type { SchedulerOutput } from './scheduler/scheduler-output.ts';
import type { TimerClock } from './util/clock.ts';

/** How long sampling may keep the calling thread at a time, in ms. */
const MAX_TURN_MS = 4;

/** What to do when the device that computes is gone. */
export interface DeviceRecovery {
  /** Whether running sequences are computed again; else they fail. */
  readonly restartsSequences: boolean;
  /** Loads the model again, somewhere.
   * @throws when it cannot be loaded anywhere; may be called again */
  newExecutor(): Promise<Executor>;
}

export interface StepLoopParts {
  readonly scheduler: Scheduler;
  /** Where steps run, until its device is lost. */
  readonly executor: Executor;
  readonly recovery: DeviceRecovery;
  readonly clock: TimerClock;
  readonly blockSize: number;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly policy: RowPolicy;
  /** Takes in a sequence's results of a step.
   * @returns the token sampled, if the sequence samples. Throws or rejects: that sequence fails. */
  readonly onRows: (rows: SequenceRows) => Promise<number> | number | undefined;
}

export class StepLoop {
  readonly #parts: StepLoopParts;
  #executor: Executor;
  #running: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #isClosed = false;
  /** Set by `wake` while the loop runs: the loop may have looked for work just before it was there. */
  #isWakeWanted = false;
  /** Waits for a moment between two steps. */
  #betweenSteps: (() => Promise<void>)[] = [];

  constructor(parts: StepLoopParts) {
    this.#parts = parts;
    this.#executor = parts.executor;
  }

  /** There is, or may be, work. */
  wake(): void {
    this.#isWakeWanted = true;
    if (this.#isClosed || this.#running !== undefined) return;
    this.#cancelTimer?.();
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#isWakeWanted && !this.#isClosed) this.wake();
      else if (this.#parts.scheduler.hasUnfinished) this.#sleepUntilDeadline();
    });
  }

  /** Runs `task` while no step is in flight and none starts: nobody writes to the KV cache then.
   * Errors  EngineClosedError; what the task throws */
  betweenSteps<T>(task: () => Promise<T>): Promise<T> {
    if (this.#isClosed) return Promise.reject(new EngineClosedError());
    return new Promise<T>((resolve, reject) => {
      this.#betweenSteps.push(() => task().then(resolve, reject));
      this.wake();
    });
  }

  /** Starts no more steps; resolves when the one in flight has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer?.();
    await this.#running;
    await this.#runTasks();
  }

  async #run(): Promise<void> {
    // Requests of the same turn of the event loop start together.
    await nextTurn();
    while (!this.#isClosed) {
      this.#isWakeWanted = false;
      const { deviceLoss } = this.#executor;
      if (deviceLoss !== undefined) await this.#recover(deviceLoss);
      await this.#runTasks();
      const output = this.#parts.scheduler.schedule();
      if (output === undefined) return;
      await this.#step(output);
      // Computing on the caller's thread never waits for anything, so let others have a turn.
      if (this.#executor.numThreads === 0) await nextTurn();
    }
  }

  async #runTasks(): Promise<void> {
    for (const task of this.#betweenSteps.splice(0)) await task();
  }

  async #step(output: SchedulerOutput): Promise<void> {
    const { scheduler, clock, blockSize, vocabSize, hiddenSize } = this.#parts;
    try {
      const policy = freezePolicy(output, this.#parts.policy, this.#executor.summarySupport);
      const batch = buildBatch(output, blockSize, policy);
      const result = await this.#executor.execute(batch);
      const sampled = new Map<number, readonly number[]>();
      const pending: Promise<void>[] = [];
      let turnMs = clock.nowMs();
      const rowSampling = this.#executor.sampleRows === undefined ? undefined : new RowSampling();
      for (const rows of dealResults(output, result, { policy, batch, rowSampling, vocabSize, hiddenSize })) {
        const later = this.#take(rows, sampled);
        if (later !== undefined) pending.push(later);
        // Sampling from a whole row of a large vocabulary takes milliseconds: the host's event loop gets its turns.
        if (clock.nowMs() - turnMs < MAX_TURN_MS) continue;
        await nextTurn();
        turnMs = clock.nowMs();
      }
      await rowSampling?.run((jobs) => this.#executor.sampleRows!(jobs));
      await Promise.all(pending);
      scheduler.update(output, sampled);
    } catch (error) {
      // The loop sees to a lost device before the next step: sequences that are not in this one have lost as much.
      if (this.#executor.deviceLoss === undefined) scheduler.failStep(output, asError(error));
    }
  }

  /** Everything computed so far is gone. Afterwards there is a new executor, or no sequence left. */
  async #recover(loss: DeviceLostError): Promise<void> {
    const { scheduler, recovery } = this.#parts;
    scheduler.loseKvCache(recovery.restartsSequences ? 'restart' : loss);
    // The next request loads the model again; until then an idle GPU is left alone.
    if (!scheduler.hasUnfinished && this.#betweenSteps.length === 0) return;
    try {
      this.#executor = await recovery.newExecutor();
    } catch (cause) {
      const { device } = loss.details as { readonly device: string };
      const reason = `${loss.details.reason}; the model could not be loaded again: ${asError(cause).message}`;
      scheduler.failAll(new DeviceLostError(device, reason, { cause }));
    }
  }

  /** A sequence whose results cannot be used fails alone.
   * @returns when the token is known, if not at once */
  #take(rows: SequenceRows, sampled: Map<number, readonly number[]>): Promise<void> | undefined {
    const fail = (error: unknown): void => this.#parts.scheduler.failSequences([rows.id], asError(error));
    const note = (tokenId: number): void => void sampled.set(rows.id, [tokenId]);
    try {
      const token = this.#parts.onRows(rows);
      if (typeof token === 'object') return token.then(note, fail);
      if (token !== undefined) note(token);
    } catch (error) {
      fail(error);
    }
    return undefined;
  }

  /** Nothing can run, but something waits and may have a deadline. */
  #sleepUntilDeadline(): void {
    const { scheduler, clock } = this.#parts;
    if (this.#isClosed || !Number.isFinite(scheduler.nextExpiryMs)) return;
    const delayMs = Math.max(0, Math.ceil(scheduler.nextExpiryMs - clock.nowMs()));
    this.#cancelTimer = clock.setTimer(Math.min(delayMs, 2 ** 31 - 1), () => {
      this.#cancelTimer = undefined;
      scheduler.expireDeadlines();
      this.wake();
    });
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
