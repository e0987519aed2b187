/** Runs steps in a pool of worker threads: one Piscina task per worker per step. All workers run the same program over
 * the same shared memory (SPMD); each does its part of every op and meets the others at a barrier before the next.
 *
 *   caller     upload inputs --> N tasks ............................ read logits
 *   worker 0                     [ op part 0 | barrier | op part 0 | ... ]
 *   worker 1                     [ op part 1 | barrier | op part 1 | ... ]
 *
 * A worker that dies takes its step with it: the barrier is poisoned so that the others leave, the step rejects, and
 * Piscina replaces the worker before the next step. */
import { Piscina } from 'piscina';
import { EngineClosedError, WorkerCrashedError } from '../errors.ts';
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import { workerMessage } from '../kernels/worker-backends.ts';
import type { ForwardBatch, StepResult } from '../model/forward-batch.ts';
import { Barrier } from './barrier.ts';
import type { Executor } from './executor.ts';
import { encodePlan } from './shared-plan.ts';
import { downloadResult, uploadBatch } from './step-io.ts';
import { type StepModel, stepSizeOf } from './step-program.ts';
import type { StepTask, StepWorkerData } from './step-worker.ts';

/** The worker's file lies beside this one, as source in a checkout and compiled in the package. */
const WORKER_URL = new URL(`./step-worker-entry.${import.meta.url.endsWith('.ts') ? 'cts' : 'cjs'}`, import.meta.url);

/** A task without work. The workers meet at the barrier, so it is done when all of them have loaded their code. */
const WARM_UP: StepTask = { part: -1 };

export class WorkerPoolExecutor implements Executor {
  readonly numThreads: number;
  readonly #backend: KernelBackend;
  readonly #model: StepModel;
  readonly #barrier: Barrier;
  readonly #workerData: StepWorkerData;
  #pool: Piscina<StepTask, void>;
  /** Set while a pool that cannot heal by itself is taken down. */
  #takingDown: Promise<void> | undefined;
  #isStepRunning = false;
  #isClosed = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(backend: KernelBackend, model: StepModel, numThreads: number) {
    this.numThreads = numThreads;
    this.#backend = backend;
    this.#model = model;
    this.#barrier = new Barrier(numThreads);
    const { message, codec } = workerMessage(backend);
    this.#workerData = {
      backend: message,
      plan: encodePlan(model, codec),
      numThreads,
      barrier: this.#barrier.buffer,
    };
    this.#pool = this.#createPool();
  }

  start(): Promise<void> {
    return this.#runParts(() => WARM_UP);
  }

  execute(batch: ForwardBatch): Promise<StepResult> {
    const step = this.#running.then(() => this.#execute(batch));
    this.#running = step.catch(() => {});
    return step;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#running;
    await this.#pool.destroy();
  }

  /** The pool's threads, for tests that kill one. */
  get workers(): Piscina['threads'] {
    return this.#pool.threads;
  }

  async #execute(batch: ForwardBatch): Promise<StepResult> {
    if (this.#isClosed) throw new EngineClosedError();
    uploadBatch(this.#backend, this.#model.memory, batch);
    const size = stepSizeOf(batch);
    await this.#runParts((part) => ({ part, size }));
    return downloadResult(this.#backend, this.#model.memory, batch);
  }

  /** Resolves when every part is over.
   * @throws WorkerCrashedError when one was not done; by then all threads have left the step. */
  async #runParts(taskOf: (part: number) => StepTask): Promise<void> {
    this.#isStepRunning = true;
    const parts = Array.from({ length: this.numThreads }, (_, part) => this.#runPart(taskOf(part)));
    const failures = (await Promise.all(parts)).filter((failure) => failure !== undefined);
    this.#isStepRunning = false;
    if (failures.length === 0) return;
    if (this.#takingDown !== undefined) {
      await this.#takingDown;
      this.#takingDown = undefined;
      this.#pool = this.#createPool();
    }
    this.#barrier.reset();
    throw asCrash(failures);
  }

  /** Resolves when the part is over, to its error if it had one; the first error frees the other workers. */
  async #runPart(task: StepTask): Promise<Error | undefined> {
    try {
      await this.#pool.run(task);
      return undefined;
    } catch (error) {
      this.#barrier.poison();
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  #createPool(): Piscina<StepTask, void> {
    const pool = new Piscina<StepTask, void>({
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

  /** Piscina starts no replacement for a worker that died before it was ready. A part of the step that waits for one would
   * wait for ever, and the other parts for it. */
  #takeDownIfStuck(pool: Piscina<StepTask, void>): void {
    const isOurs = pool === this.#pool && this.#takingDown === undefined;
    if (!isOurs || !this.#isStepRunning || pool.threads.length === this.numThreads) return;
    this.#barrier.poison();
    this.#takingDown = pool.destroy();
  }
}

/** The error that started it, not those of workers that were freed by the poison. */
function asCrash(failures: readonly Error[]): WorkerCrashedError {
  const first = failures.find(({ name }) => name !== 'BarrierPoisonedError') ?? failures[0]!;
  return new WorkerCrashedError(`a worker thread failed: ${first.message}`, { cause: first });
}
