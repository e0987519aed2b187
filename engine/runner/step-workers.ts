/** The worker threads of an engine: a Piscina pool in which each thread runs at most one task. They load their code while the
 * backend compiles its kernels, then get its memory and take weights in as they come from the file; later they learn the
 * model and run steps.
 *
 *   born        { barrier }                               backend and plan too, where a thread replaces one that died
 *   attach      one task per thread, which meet at the barrier
 *   offload     one task, on any thread
 *   share       likewise
 *   runStep     one task per thread, which meet at the barrier; threads stay for the next steps (step-board.ts)
 *   sampleRows  one task per thread, of which each does its own; rows lie in shared memory or come with the task
 *
 * A thread that dies takes its task with it. Others that wait for it at the barrier are freed by poisoning that, and
 * Piscina replaces the thread before the next task. No two calls may overlap, but those of `offload`. */
import { Piscina } from 'piscina';
import { WorkerCrashedError } from '../errors.ts';
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import { type BufferCodec, type WorkerMessage, workerMessage } from '../kernels/worker-backends.ts';
import type { SampleJobResult } from '../sampling/sample-job.ts';
import { Barrier } from './barrier.ts';
import type { RowJob } from './row-sampling.ts';
import { encodePlan } from './shared-plan.ts';
import type { StepModel, StepSize } from './step-program.ts';
import { StepSeats } from './step-seats.ts';
import type { StepWorkerData, WorkerTask } from './step-worker.ts';

/** The worker's file lies beside this one, as source in a checkout and compiled in the package. */
const WORKER_URL = new URL(`./step-worker-entry.${import.meta.url.endsWith('.ts') ? 'cts' : 'cjs'}`, import.meta.url);

/** How long a thread that has done its part of a step waits for the next one, rather than go back to the pool: much longer than
 * it takes to choose tokens. An idle engine does not keep the process alive, but for so long. */
const PATIENCE_MS = 50;

export class StepWorkers {
  readonly numThreads: number;
  readonly #barrier: Barrier;
  readonly #seats: StepSeats;
  /** Whether the pool was asked for something between the last step and the next. */
  #isPoolInUse = false;
  /** Known with the backend. */
  #codec: BufferCodec | undefined;
  #attaching: Promise<void> | undefined;
  /** Every thread is born with a copy of this, as it is at that moment. */
  readonly #workerData: StepWorkerData;
  #pool: Piscina<WorkerTask, unknown>;
  /** Set while a pool that cannot heal by itself is taken down. */
  #takingDown: Promise<void> | undefined;
  #numRunning = 0;
  #isClosed = false;

  constructor(numThreads: number) {
    this.numThreads = numThreads;
    this.#barrier = new Barrier(numThreads);
    this.#seats = new StepSeats(numThreads, this.#barrier, (task) => this.#pool.run(task));
    const shared = { barrier: this.#barrier.buffer, board: this.#seats.board.buffer };
    this.#workerData = { numThreads, ...shared, backend: undefined, plan: undefined };
    this.#pool = this.#createPool();
  }

  /** The pool's threads, for tests that kill one. */
  get threads(): Piscina['threads'] {
    return this.#pool.threads;
  }

  /** Gives every thread the backend's memories, which must all be there, and kernels. What comes after waits for it. */
  attach(backend: KernelBackend): void {
    const { message, codec } = workerMessage(backend);
    this.#codec = codec;
    this.#workerData.backend = message;
    this.#attaching = this.#attach(message);
    this.#attaching.catch(() => {});
  }

  async #attach(backend: WorkerMessage): Promise<void> {
    try {
      await this.#runParts((part) => ({ part, backend }));
    } catch (error) {
      // Some may have missed it, but threads of a new pool are born with it.
      if (!this.#isClosed) this.#takingDown ??= this.#pool.destroy();
      await this.#heal();
      throw error;
    } finally {
      this.#attaching = undefined;
    }
  }

  /** Tells every thread what the steps to come compute.
   * Errors  WorkerCrashedError */
  async share(model: StepModel): Promise<void> {
    await this.#attaching;
    const plan = encodePlan(model, this.#codec!);
    this.#workerData.plan = plan;
    await this.#runParts((part) => ({ part, plan }));
  }

  /** Does a backend's job (`KernelBackend.loadWeight`) on one of the threads.
   * Errors  WorkerCrashedError when the thread died */
  offload = async (job: unknown): Promise<unknown> => {
    await this.#attaching;
    const { result, failure } = await this.#run({ job });
    await this.#expectNone(failure === undefined ? [] : [failure]);
    return result;
  };

  /** Resolves when every part of the step is done.
   * @throws WorkerCrashedError when one was not; by then all threads have left the step. */
  async runStep(size: StepSize): Promise<void> {
    // Threads that wait for a step must first be sent back to the pool where that has other tasks for them.
    const patienceMs = this.#isPoolInUse ? 0 : PATIENCE_MS;
    this.#isPoolInUse = false;
    this.#numRunning++;
    try {
      await this.#expectNone(await this.#seats.run(JSON.stringify(size), patienceMs));
    } finally {
      this.#numRunning--;
    }
  }

  async #runParts(taskOf: (part: number) => WorkerTask): Promise<void> {
    const parts = Array.from({ length: this.numThreads }, (_, part) => this.#run(taskOf(part)));
    await this.#expectNone((await Promise.all(parts)).flatMap(({ failure }) => failure ?? []));
  }

  /** Deals the rows out to the threads.
   * @throws WorkerCrashedError when one was not done */
  async sampleRows(jobs: readonly RowJob[]): Promise<readonly SampleJobResult[]> {
    const numTasks = Math.min(this.numThreads, jobs.length);
    const outcomes = await Promise.all(
      Array.from({ length: numTasks }, (_, task) => this.#run({ rows: jobs.filter((_, i) => i % numTasks === task) })),
    );
    await this.#expectNone(outcomes.flatMap(({ failure }) => failure ?? []));
    return jobs.map((_, i) => (outcomes[i % numTasks]!.result as SampleJobResult[])[Math.floor(i / numTasks)]!);
  }

  /** Tasks that are running or waiting fail. */
  async close(): Promise<void> {
    this.#isClosed = true;
    // A pool that is told twice believes after the second time that it may start threads again.
    this.#takingDown ??= this.#pool.destroy();
    await this.#takingDown;
  }

  /** Resolves when the task is over, to its error if it had one; an error frees workers that wait at the barrier. */
  async #run(task: WorkerTask): Promise<{ readonly result?: unknown; readonly failure?: Error }> {
    this.#seats.dismiss();
    this.#isPoolInUse = true;
    this.#numRunning++;
    try {
      return { result: await this.#pool.run(task, { transferList: givenAway(task) }) };
    } catch (error) {
      this.#barrier.poison();
      return { failure: error instanceof Error ? error : new Error(String(error)) };
    } finally {
      this.#numRunning--;
    }
  }

  #createPool(): Piscina<WorkerTask, unknown> {
    const pool = new Piscina<WorkerTask, unknown>({
      filename: WORKER_URL.href,
      minThreads: this.numThreads,
      maxThreads: this.numThreads,
      // Two parts of a step on one worker would wait for each other at the barrier.
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      workerData: this.#workerData,
    });
    // A worker that dies between steps: Piscina has replaced it, or does so for the next task.
    pool.on('error', () => {});
    pool.on('workerDestroy', () => setImmediate(() => this.#takeDownIfStuck(pool)));
    return pool;
  }

  /** Piscina starts no replacement for a worker that died before it was ready. A task that waits for one would wait for
   * ever, and the other parts of its step for it. */
  #takeDownIfStuck(pool: Piscina<WorkerTask, unknown>): void {
    const isOurs = pool === this.#pool && this.#takingDown === undefined && !this.#isClosed;
    if (!isOurs || this.#numRunning === 0 || pool.threads.length === this.numThreads) return;
    this.#barrier.poison();
    this.#takingDown = pool.destroy();
  }

  /** @throws WorkerCrashedError for failures of threads, once they are all replaced and nobody is at the barrier */
  async #expectNone(failures: readonly Error[]): Promise<void> {
    if (failures.length === 0) return;
    await this.#heal();
    this.#barrier.reset();
    throw asCrash(failures);
  }

  async #heal(): Promise<void> {
    await this.#takingDown;
    if (this.#takingDown === undefined || this.#isClosed) return;
    this.#takingDown = undefined;
    this.#pool = this.#createPool();
  }
}

/** The error that started it, not those of workers that were freed by the poison. */
function asCrash(failures: readonly Error[]): WorkerCrashedError {
  const first = failures.find(({ name }) => name !== 'BarrierPoisonedError') ?? failures[0]!;
  return new WorkerCrashedError(`a worker thread failed: ${first.message}`, { cause: first });
}

/** Memory that need not be copied to get to the thread. */
function givenAway(task: WorkerTask): ArrayBuffer[] {
  if (!('rows' in task)) return [];
  return task.rows.flatMap(({ logits }) => (logits === undefined ? [] : [logits.buffer as ArrayBuffer]));
}
