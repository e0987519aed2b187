/** The only message from the scheduler to the runner: what one step computes. */
import type { BlockCopy } from '../kvcache/kv-cache-options.ts';
import type { Sequence } from './sequence.ts';

/** A sequence's share of a step. The arrays are views, valid until `update` or `failStep`. */
export interface ScheduledSequence {
  readonly id: number;
  /** Position of the first token to compute: so many have their keys and values cached. */
  readonly numComputedTokens: number;
  readonly numScheduledTokens: number;
  /** The tokens to compute. Shape [numScheduledTokens]. */
  readonly tokenIds: Int32Array;
  /** The sequence's pages. Entries behind a sliding window are the null block 0. */
  readonly blockTable: Int32Array;
  /** The step reaches the sequence's last token: its row's logits give the next one. */
  readonly samples: boolean;
}

export interface SchedulerOutput {
  /** Counts steps from 1. */
  readonly stepIndex: number;
  readonly scheduled: readonly ScheduledSequence[];
  /** Over all sequences; at most `maxNumBatchedTokens`. */
  readonly numScheduledTokens: number;
  /** To carry out before the step, in this order. */
  readonly blockCopies: readonly BlockCopy[];
  /** Sequences preempted while this step was planned. */
  readonly preemptedIds: readonly number[];
  /** Sequences that ran and have ended since the last output, however they ended. */
  readonly finishedIds: readonly number[];
}

/** What the step sampled: by sequence id, the tokens to append, at least one. Several are for speculative decoding. */
export type SampledTokens = ReadonlyMap<number, readonly number[]>;

/** @param blockTable  pages for all tokens up to the last one scheduled */
export function describeScheduled(
  sequence: Sequence,
  numScheduledTokens: number,
  blockTable: Int32Array,
): ScheduledSequence {
  const { id, numComputedTokens, numTokens, maxNewTokens } = sequence;
  const end = numComputedTokens + numScheduledTokens;
  return {
    id,
    numComputedTokens,
    numScheduledTokens,
    tokenIds: sequence.tokenIds.subarray(numComputedTokens, end),
    blockTable,
    samples: end === numTokens && maxNewTokens > 0,
  };
}
