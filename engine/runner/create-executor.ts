/** Chooses where steps run. */
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import { sharesWithWorkers } from '../kernels/worker-backends.ts';
import type { Executor } from './executor.ts';
import { InlineExecutor } from './inline-executor.ts';
import type { StepModel } from './step-program.ts';
import { WorkerPoolExecutor } from './worker-pool-executor.ts';

/** @param numThreads  worker threads; 0 for the caller's own. A backend that computes elsewhere (a GPU) has use for none: the
 *   caller's thread tells it what to do, and waits without blocking. */
export function createExecutor(backend: KernelBackend, model: StepModel, numThreads: number): Executor {
  if (numThreads === 0 || !sharesWithWorkers(backend)) return new InlineExecutor(backend, model);
  return new WorkerPoolExecutor(backend, model, numThreads);
}
