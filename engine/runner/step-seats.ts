/** The calling thread's side of the board (step-board.ts): puts steps up, sends threads to seats where nobody sits, and hears of
 * those that fail. */
import type { Barrier } from './barrier.ts';
import { StepBoard } from './step-board.ts';

/** A seat for one thread to take. */
export interface SeatTask {
  readonly part: number;
  /** How long it waits for another step before it leaves. */
  readonly patienceMs: number;
}

export class StepSeats {
  readonly board: StepBoard;
  readonly #numThreads: number;
  readonly #barrier: Barrier;
  readonly #send: (task: SeatTask) => Promise<unknown>;
  /** Threads in their seats or on their way. */
  readonly #sitting = new Set<Promise<void>>();
  /** Of the step that is up; undefined between steps. */
  #failures: Error[] | undefined;
  #onFailure = (): void => {};

  /** @param barrier  where the threads of a step meet
   * @param send  has a thread take a seat; settles when it has left */
  constructor(numThreads: number, barrier: Barrier, send: (task: SeatTask) => Promise<unknown>) {
    this.board = new StepBoard(numThreads);
    this.#numThreads = numThreads;
    this.#barrier = barrier;
    this.#send = send;
  }

  /** Runs a step; the last one must be over.
   * @returns why parts were not done; when any was not, all threads have left by then */
  async run(size: string, patienceMs: number): Promise<readonly Error[]> {
    const done = this.board.putUp(size);
    const failures: Error[] = [];
    this.#failures = failures;
    const failed = new Promise<void>((resolve) => {
      this.#onFailure = resolve;
    });
    for (let part = 0; part < this.#numThreads; part++) {
      if (this.board.claim(part)) this.#fill({ part, patienceMs });
    }
    await Promise.race([done, failed]);
    if (failures.length > 0) {
      this.board.giveUp();
      await Promise.all(this.#sitting);
    }
    this.#failures = undefined;
    return failures;
  }

  /** Has threads that sit and wait go back to the pool, where there is other work for them. */
  dismiss(): void {
    if (this.#sitting.size > 0) this.board.takeDown();
  }

  #fill(task: SeatTask): void {
    const sitting = this.#send(task)
      .then(
        () => {},
        (error: unknown) => this.#note(task.part, error),
      )
      .finally(() => this.#sitting.delete(sitting));
    this.#sitting.add(sitting);
  }

  /** A thread failed or died. Between steps nobody misses it: the next one sends another. */
  #note(part: number, error: unknown): void {
    this.board.vacate(part);
    if (this.#failures === undefined) return;
    this.#failures.push(error instanceof Error ? error : new Error(String(error)));
    // Others may wait for its part.
    this.#barrier.poison();
    this.#onFailure();
  }
}
