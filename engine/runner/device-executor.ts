/** Runs steps on a device that is not the host (a GPU), and samples from whole rows of logits on worker threads: the calling
 * thread tells the device what to do and hands on what comes back. The threads start with the first row that needs them,
 * as most rows do with a summary. */
import type { DeviceLostError } from '../errors.ts';
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { ForwardBatch, StepResult } from '../model/forward-batch.ts';
import type { SummarySupport } from '../sampling/row-summary.ts';
import type { SampleJobResult } from '../sampling/sample-job.ts';
import type { Executor } from './executor.ts';
import { InlineExecutor } from './inline-executor.ts';
import type { RowJob } from './row-sampling.ts';
import type { StepModel } from './step-program.ts';
import type { StepWorkers } from './step-workers.ts';

export class DeviceExecutor implements Executor {
  /** The device computes. */
  readonly numThreads = 0;
  readonly #device: InlineExecutor;
  readonly #vocabSize: number;
  readonly #startWorkers: () => StepWorkers;
  #workers: StepWorkers | undefined;
  #result: StepResult | undefined;

  constructor(backend: KernelBackend, model: StepModel, startWorkers: () => StepWorkers) {
    this.#device = new InlineExecutor(backend, model);
    this.#vocabSize = model.config.vocabSize;
    this.#startWorkers = startWorkers;
  }

  get summarySupport(): SummarySupport {
    return this.#device.summarySupport;
  }

  get deviceLoss(): DeviceLostError | undefined {
    return this.#device.deviceLoss;
  }

  start(): Promise<void> {
    return this.#device.start();
  }

  async execute(batch: ForwardBatch): Promise<StepResult> {
    this.#result = await this.#device.execute(batch);
    return this.#result;
  }

  async sampleRows(jobs: readonly RowJob[]): Promise<readonly SampleJobResult[]> {
    const withRows = jobs.map(async (job) => ({ ...job, logits: await this.#rowAt(job.place) }));
    this.#workers ??= this.#startWorkers();
    return this.#workers.sampleRows(await Promise.all(withRows));
  }

  async close(): Promise<void> {
    await this.#workers?.close();
    await this.#device.close();
  }

  /** A copy, which can be given away. */
  async #rowAt(place: number): Promise<Float32Array> {
    const { logits, fetchLogits } = this.#result!;
    if (logits.length === 0) return (await fetchLogits(place)).slice();
    return logits.slice(place * this.#vocabSize, (place + 1) * this.#vocabSize);
  }
}
