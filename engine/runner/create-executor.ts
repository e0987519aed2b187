/** Chooses where steps run. */
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { Executor } from './executor.ts';
import { InlineExecutor } from './inline-executor.ts';
import type { StepModel } from './step-program.ts';
import { WorkerPoolExecutor } from './worker-pool-executor.ts';

/** @param numThreads  worker threads; 0 for the caller's own */
export function createExecutor(backend: KernelBackend, model: StepModel, numThreads: number): Executor {
  return numThreads === 0 ? new InlineExecutor(backend, model) : new WorkerPoolExecutor(backend, model, numThreads);
}
