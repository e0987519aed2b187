/** Collects the rows of a step that have to be sampled whole, and has workers do it: once for all of them. */
import type { SampleJob, SampleJobResult } from '../sampling/sample-job.ts';

/** A job, and whose row it is about, by place among the step's rows of logits. */
export interface RowJob {
  readonly place: number;
  readonly job: SampleJob;
  /** The row, where workers do not share memory with it. Given away with the task. */
  readonly logits?: Float32Array;
}

export class RowSampling {
  readonly #jobs: RowJob[] = [];
  readonly #outcomes: PromiseWithResolvers<SampleJobResult>[] = [];

  /** Resolves after `run`. */
  add(place: number, job: SampleJob): Promise<SampleJobResult> {
    const outcome = Promise.withResolvers<SampleJobResult>();
    this.#jobs.push({ place, job });
    this.#outcomes.push(outcome);
    return outcome.promise;
  }

  /** Does not fail: whoever added a job hears of it. */
  async run(sampleRows: (jobs: readonly RowJob[]) => Promise<readonly SampleJobResult[]>): Promise<void> {
    if (this.#jobs.length === 0) return;
    try {
      const results = await sampleRows(this.#jobs);
      for (const [i, outcome] of this.#outcomes.entries()) outcome.resolve(results[i]!);
    } catch (error) {
      for (const outcome of this.#outcomes) outcome.reject(error);
    }
  }
}
