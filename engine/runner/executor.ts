/** Where steps run. Two executors share this interface: on the caller's thread, and in a pool of worker threads. */
import type { ForwardBatch } from '../model/forward-batch.ts';

export interface Executor {
  /** Threads that compute; 0 when the caller's does. */
  readonly numThreads: number;
  /** Runs one step. One at a time: the next call waits for the last to settle.
   * Shape  resolves to [logitRows.length, vocabSize] f32, row-major
   * Errors  WorkerCrashedError when a worker died in the step; what an op threw */
  execute(batch: ForwardBatch): Promise<Float32Array>;
  close(): Promise<void>;
}
