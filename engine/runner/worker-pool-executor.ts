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
const WORKER_URL = new URL(import.meta.url.endsWith('.ts') ? './step-worker.ts' : './step-worker.js', import.meta.url);

/** A task without work. The workers meet at the barrier, so it is done when all of them have loaded their code. */
const WARM_UP: StepTask = { part: -1 };

export class WorkerPoolExecutor implements Executor {
  readonly numThreads: number;
  readonly #backend: KernelBackend;
  readonly #model: StepModel;
  readonly #barrier: Barrier;
  readonly #pool: Piscina<StepTask, void>;
  #isClosed = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(backend: KernelBackend, model: StepModel, numThreads: number) {
    this.numThreads = numThreads;
    this.#backend = backend;
    this.#model = model;
    this.#barrier = new Barrier(numThreads);
    const { message, codec } = workerMessage(backend);
    const workerData: StepWorkerData = {
      backend: message,
      plan: encodePlan(model, codec),
      numThreads,
      barrier: this.#barrier.buffer,
    };
    this.#pool = new Piscina<StepTask, void>({
      filename: WORKER_URL.href,
      minThreads: numThreads,
      maxThreads: numThreads,
      // Two parts of a step on one worker would wait for each other at the barrier.
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      workerData,
    });
    // A worker that dies between steps: Piscina has replaced it, or does so for the next task.
    this.#pool.on('error', () => {});
  }

  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.numThreads }, () => this.#pool.run(WARM_UP)));
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
    const parts = Array.from({ length: this.numThreads }, (_, part) => this.#runPart({ part, size }));
    const failures = (await Promise.all(parts)).filter((failure) => failure !== undefined);
    if (failures.length > 0) {
      this.#barrier.reset();
      throw asCrash(failures);
    }
    return downloadResult(this.#backend, this.#model.memory, batch);
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
}

/** The error that started it, not those of workers that were freed by the poison. */
function asCrash(failures: readonly Error[]): WorkerCrashedError {
  const first = failures.find(({ name }) => name !== 'BarrierPoisonedError') ?? failures[0]!;
  return new WorkerCrashedError(`a worker thread failed in a step: ${first.message}`, { cause: first });
}
