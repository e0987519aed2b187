/** The code of a worker thread: attaches to the model's shared memory once, then runs its part of each step. Loaded
 * through `step-worker-entry.cts`. */
import { workerData } from 'piscina';
import { attachWorkerBackend, type WorkerMessage } from '../kernels/worker-backends.ts';
import { findModelFamily } from '../model/model-registry.ts';
import { Barrier, BarrierPoisonedError } from './barrier.ts';
import { decodePlan, type SharedPlan } from './shared-plan.ts';
import { runStep, type StepSize } from './step-program.ts';

/** What a worker is born with. */
export interface StepWorkerData {
  readonly backend: WorkerMessage;
  readonly plan: SharedPlan;
  readonly numThreads: number;
  readonly barrier: SharedArrayBuffer;
}

/** One worker's share of one step. Any worker can take any part: all state is in shared memory. */
export interface StepTask {
  readonly part: number;
  /** Absent: nothing to compute, the workers only meet. */
  readonly size?: StepSize;
}

const { backend: message, plan, numThreads, barrier: barrierBuffer } = workerData as StepWorkerData;
const barrier = new Barrier(numThreads, barrierBuffer);
const backend = attachWorkerBackend(message);
const model = decodePlan(plan, findModelFamily(plan.config.architecture), backend.codec);

/** Does one part of a step, op by op, meeting the other workers after each. Piscina calls it for every task.
 * @throws BarrierPoisonedError when another worker failed; what an op threw, after freeing the others. */
export function runPart({ part, size }: StepTask): void {
  try {
    if (size === undefined) {
      barrier.wait();
      return;
    }
    runStep(
      backend.partOps({ index: part, count: numThreads }, () => barrier.wait()),
      model,
      size,
    );
  } catch (error) {
    if (!(error instanceof BarrierPoisonedError)) barrier.poison();
    throw error;
  }
}
