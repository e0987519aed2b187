/** Chooses where steps run. */
import { UnsupportedError } from '../errors.ts';
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import { sharesWithWorkers } from '../kernels/worker-backends.ts';
import { DeviceExecutor } from './device-executor.ts';
import type { Executor } from './executor.ts';
import { InlineExecutor } from './inline-executor.ts';
import type { StepModel } from './step-program.ts';
import { StepWorkers } from './step-workers.ts';
import { WorkerPoolExecutor } from './worker-pool-executor.ts';

/** @param numThreads  worker threads; 0 for the caller's own. A backend that computes elsewhere (a GPU) has use for none: the
 *   caller's thread tells it what to do, and waits without blocking.
 * @returns threads that have begun to start, or undefined where there are none. `attach` gives them the backend.
 * @throws UnsupportedError where threads could share no memory */
export function createWorkers(backend: KernelBackend, numThreads: number): StepWorkers | undefined {
  if (numThreads === 0 || !sharesWithWorkers(backend)) return undefined;
  if (typeof SharedArrayBuffer === 'undefined') {
    throw new UnsupportedError(`numThreads ${numThreads}`, 'this process has no SharedArrayBuffer; 0 computes without');
  }
  return new StepWorkers(numThreads);
}

/** @param workers  undefined: steps run on the caller's thread, or on a device
 *  @param numThreads  for what a device leaves to the host, 0 for the caller's own thread */
export function createExecutor(
  backend: KernelBackend,
  model: StepModel,
  workers: StepWorkers | undefined,
  numThreads = 0,
): Executor {
  if (workers !== undefined) return new WorkerPoolExecutor(backend, model, workers);
  if (numThreads === 0 || sharesWithWorkers(backend)) return new InlineExecutor(backend, model);
  // These threads see nothing of the device's memory: what they work on comes with the task.
  return new DeviceExecutor(backend, model, () => new StepWorkers(numThreads));
}
