/** Where steps run. Two executors share this interface: on the caller's thread, and in a pool of worker threads. */
import type { DeviceLostError } from '../errors.ts';
import type { ForwardBatch, StepResult } from '../model/forward-batch.ts';
import type { SummarySupport } from '../sampling/row-summary.ts';
import type { SampleJobResult } from '../sampling/sample-job.ts';
import type { RowJob } from './row-sampling.ts';

export interface Executor {
  /** Threads that compute; 0 when the caller's does. */
  readonly numThreads: number;
  /** What a step can say of the rows of logits that it computed. */
  readonly summarySupport: SummarySupport;
  /** Set once the device that computes is gone: no step will succeed any more, and the KV cache is lost. */
  readonly deviceLoss?: DeviceLostError | undefined;
  /** Resolves when the first step need not wait for threads to start.
   * @throws what the backend says of the memory that it was asked for */
  start(): Promise<void>;
  /** Runs one step. One at a time: the next call waits for the last to settle.
   * Errors  WorkerCrashedError when a worker died in the step; DeviceLostError; what an op threw */
  execute(batch: ForwardBatch): Promise<StepResult>;
  /** Samples from whole rows of the last step, on the threads that compute. Absent: there are none.
   * Errors  WorkerCrashedError */
  readonly sampleRows?: ((jobs: readonly RowJob[]) => Promise<readonly SampleJobResult[]>) | undefined;
  close(): Promise<void>;
}
