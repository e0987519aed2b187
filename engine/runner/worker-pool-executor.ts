/** Runs steps in worker threads. All threads run the same program over the same shared memory (SPMD); each does its part of
 * every op and meets the others at a barrier before the next.
 *
 *   caller     upload inputs --> put the step up .................... read logits
 *   worker 0                     [ op part 0 | barrier | op part 0 | ... ]
 *   worker 1                     [ op part 1 | barrier | op part 1 | ... ]
 *
 * A worker that dies takes its step with it (step-workers.ts); the next step finds all threads again. */
import { EngineClosedError } from '../errors.ts';
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { ForwardBatch, StepResult } from '../model/forward-batch.ts';
import type { SummarySupport } from '../sampling/row-summary.ts';
import type { SampleJobResult } from '../sampling/sample-job.ts';
import type { Executor } from './executor.ts';
import type { RowJob } from './row-sampling.ts';
import { downloadResult, uploadBatch } from './step-io.ts';
import { type StepModel, stepSizeOf } from './step-program.ts';
import type { StepWorkers } from './step-workers.ts';
import { summarySupportOf } from './summary-support.ts';

export class WorkerPoolExecutor implements Executor {
  readonly summarySupport: SummarySupport;
  readonly #backend: KernelBackend;
  readonly #model: StepModel;
  readonly #workers: StepWorkers;
  #isClosed = false;
  #running: Promise<unknown> = Promise.resolve();

  /** @param workers  of the same backend; closed with the executor */
  constructor(backend: KernelBackend, model: StepModel, workers: StepWorkers) {
    this.#backend = backend;
    this.#model = model;
    this.#workers = workers;
    this.summarySupport = summarySupportOf(backend, model.memory);
  }

  get numThreads(): number {
    return this.#workers.numThreads;
  }

  start(): Promise<void> {
    return this.#workers.share(this.#model);
  }

  execute(batch: ForwardBatch): Promise<StepResult> {
    const step = this.#running.then(() => this.#execute(batch));
    this.#running = step.catch(() => {});
    return step;
  }

  async sampleRows(jobs: readonly RowJob[]): Promise<readonly SampleJobResult[]> {
    if (this.#isClosed) throw new EngineClosedError();
    const sampling = this.#workers.sampleRows(jobs);
    this.#running = sampling.catch(() => {});
    return sampling;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#running;
    await this.#workers.close();
  }

  /** The pool's threads, for tests that kill one. */
  get workers(): StepWorkers['threads'] {
    return this.#workers.threads;
  }

  async #execute(batch: ForwardBatch): Promise<StepResult> {
    if (this.#isClosed) throw new EngineClosedError();
    uploadBatch(this.#backend, this.#model.memory, batch);
    await this.#workers.runStep(stepSizeOf(batch));
    return downloadResult(this.#backend, this.#model.memory, batch);
  }
}
