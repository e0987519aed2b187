/** Sampling from a whole row, as something that another thread can do: everything that `Sampler.sample` depends on, as plain
 * data, and what comes back. For the rows of which a summary does not say enough. */
import type { RngState } from '../util/rng.ts';
import type { SampledToken } from './sampled-token.ts';
import type { SamplingParams } from './sampling-params.ts';
import type { TokenHistory } from './token-history.ts';

export interface SampleJob {
  readonly params: SamplingParams;
  readonly eogTokenIds: readonly number[];
  readonly rng: RngState;
  readonly history: TokenHistory;
}

/** The token and the generator behind it, or that there is nothing to choose: whoever asked finds out why. */
export type SampleJobResult = { readonly sampled: SampledToken; readonly rng: RngState } | 'nothing';
