/** Runs steps on the caller's thread. For tests, for single commands, and for backends that do their work elsewhere. */
import type { DeviceLostError } from '../errors.ts';
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { ForwardBatch, StepResult } from '../model/forward-batch.ts';
import type { SummarySupport } from '../sampling/row-summary.ts';
import type { Executor } from './executor.ts';
import { downloadResult, uploadBatch } from './step-io.ts';
import { runStep, type StepModel, stepSizeOf } from './step-program.ts';
import { summarySupportOf } from './summary-support.ts';

export class InlineExecutor implements Executor {
  readonly numThreads = 0;
  readonly summarySupport: SummarySupport;
  readonly #backend: KernelBackend;
  readonly #model: StepModel;

  constructor(backend: KernelBackend, model: StepModel) {
    this.#backend = backend;
    this.#model = model;
    this.summarySupport = summarySupportOf(backend, model.memory);
  }

  get deviceLoss(): DeviceLostError | undefined {
    return this.#backend.deviceLoss;
  }

  /** A GPU says only when waited for that it had no room for what was allocated. */
  start(): Promise<void> {
    return this.#backend.sync();
  }

  async execute(batch: ForwardBatch): Promise<StepResult> {
    const [backend, model, size] = [this.#backend, this.#model, stepSizeOf(batch)];
    uploadBatch(backend, model.memory, batch);
    const ops = (): void => runStep(backend, model, size);
    if (backend.repeat === undefined) ops();
    else backend.repeat(model, JSON.stringify(size), ops);
    return downloadResult(backend, model.memory, batch);
  }

  async close(): Promise<void> {}
}
