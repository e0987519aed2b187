/** Runs steps on the caller's thread. For tests, for single commands, and for backends that do their work elsewhere. */
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { ForwardBatch } from '../model/forward-batch.ts';
import type { Executor } from './executor.ts';
import { runStep, type StepModel, stepSizeOf } from './step-program.ts';
import { uploadBatch } from './upload-batch.ts';

export class InlineExecutor implements Executor {
  readonly numThreads = 0;
  readonly #backend: KernelBackend;
  readonly #model: StepModel;

  constructor(backend: KernelBackend, model: StepModel) {
    this.#backend = backend;
    this.#model = model;
  }

  async execute(batch: ForwardBatch): Promise<Float32Array> {
    uploadBatch(this.#backend, this.#model.memory, batch);
    const size = stepSizeOf(batch);
    runStep(this.#backend, this.#model, size);
    return this.#backend.download(this.#model.memory.activations.logits.slice(0, size.numLogitRows));
  }

  async close(): Promise<void> {}
}
