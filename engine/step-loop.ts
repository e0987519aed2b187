/** Turns the wheel: schedule a step, compute it, take in what was sampled, again, until nothing is left to do. Runs when
 * there is work and sleeps when there is none; wakes by itself when a deadline passes. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { buildBatch, type LogitRowsWanted } from './runner/batch-builder.ts';
import type { Executor } from './runner/executor.ts';
import type { Scheduler } from './scheduler/scheduler.ts';
import type { SchedulerOutput } from './scheduler/scheduler-output.ts';
import type { TimerClock } from './util/clock.ts';

export interface StepLoopParts {
  readonly scheduler: Scheduler;
  readonly executor: Executor;
  readonly clock: TimerClock;
  readonly blockSize: number;
  readonly vocabSize: number;
  readonly rowsWanted: LogitRowsWanted;
  /** Takes a sequence's rows of logits, `samples` telling whether its last one gives the next token.
   * @returns the token sampled, if the sequence samples. Throws: that sequence fails. */
  readonly onLogits: (sequenceId: number, rows: Float32Array, samples: boolean) => number | undefined;
}

export class StepLoop {
  readonly #parts: StepLoopParts;
  #running: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #isClosed = false;
  /** Set by `wake` while the loop runs: the loop may have looked for work just before it was there. */
  #isWakeWanted = false;

  constructor(parts: StepLoopParts) {
    this.#parts = parts;
  }

  /** There is, or may be, work. */
  wake(): void {
    this.#isWakeWanted = true;
    if (this.#isClosed || this.#running !== undefined) return;
    this.#cancelTimer?.();
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#isWakeWanted) this.wake();
      else if (this.#parts.scheduler.hasUnfinished) this.#sleepUntilDeadline();
    });
  }

  /** Starts no more steps; resolves when the one in flight has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    // Requests of the same turn of the event loop start together.
    await nextTurn();
    while (!this.#isClosed) {
      this.#isWakeWanted = false;
      const output = this.#parts.scheduler.schedule();
      if (output === undefined) return;
      await this.#step(output);
      // Computing on the caller's thread never waits for anything, so let others have a turn.
      if (this.#parts.executor.numThreads === 0) await nextTurn();
    }
  }

  async #step(output: SchedulerOutput): Promise<void> {
    const { scheduler, executor, blockSize, rowsWanted } = this.#parts;
    let logits: Float32Array;
    try {
      logits = await executor.execute(buildBatch(output, blockSize, rowsWanted));
    } catch (error) {
      scheduler.failStep(output, error instanceof Error ? error : new Error(String(error)));
      return;
    }
    scheduler.update(output, this.#sample(output, logits));
  }

  #sample(output: SchedulerOutput, logits: Float32Array): Map<number, readonly number[]> {
    const { scheduler, vocabSize, rowsWanted, onLogits } = this.#parts;
    const sampled = new Map<number, readonly number[]>();
    let row = 0;
    for (const { id, samples, numScheduledTokens } of output.scheduled) {
      const numRows = rowsWanted(id) === 'all' ? numScheduledTokens : samples ? 1 : 0;
      if (numRows === 0) continue;
      const rows = logits.subarray(row * vocabSize, (row + numRows) * vocabSize);
      row += numRows;
      try {
        const tokenId = onLogits(id, rows, samples);
        if (tokenId !== undefined) sampled.set(id, [tokenId]);
      } catch (error) {
        scheduler.failSequences([id], error instanceof Error ? error : new Error(String(error)));
      }
    }
    return sampled;
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
