/** The other thread's side of a `SampleJob`. */
import { NonFiniteLogitsError } from '../errors.ts';
import type { Candidates } from './candidates.ts';
import type { SampleJob, SampleJobResult } from './sample-job.ts';
import { Sampler } from './sampler.ts';

/** @param candidates  the thread's own */
export function runSampleJob(job: SampleJob, logits: Float32Array, candidates: Candidates): SampleJobResult {
  const { params, eogTokenIds, history, rng } = job;
  const sampler = new Sampler({ params, candidates, seed: 0, eogTokenIds });
  sampler.rngState = rng;
  try {
    return { sampled: sampler.sample(logits, history), rng: sampler.rngState };
  } catch (error) {
    if (error instanceof NonFiniteLogitsError) return 'nothing';
    throw error;
  }
}
