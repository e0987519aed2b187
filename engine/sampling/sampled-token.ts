/** What a sampler gives for one row. */
import type { TokenLogprob } from './log-probabilities.ts';

export interface SampledToken {
  readonly tokenId: number;
  /** Only when the request asked for log-probabilities. */
  readonly logprob?: number;
  /** The likeliest tokens, best first, whether or not the chosen one is among them. Together with `logprob`. */
  readonly topLogprobs?: readonly TokenLogprob[];
}
