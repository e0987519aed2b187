/** What the workers say of a row of logits, so that a token can be chosen without passing over a whole vocabulary on the
 * thread that serves everybody: the best tokens, and the denominators of softmaxes in segments. */
import type { SegmentSums } from './segment-sums.ts';

/** What a request wants to know of each of its rows. */
export interface SummaryNeeds {
  /** The likeliest tokens, so many of them. */
  readonly numTop: number;
  /** Softmaxes of the row divided by each. */
  readonly temperatures: readonly number[];
}

/** What can be had where the model runs. */
export interface SummarySupport {
  /** The most that `numTop` may be; 0 when the op is missing. */
  readonly maxTop: number;
  readonly sums: boolean;
  /** Whether single logits of a row can be read in place, for nothing. */
  readonly rows: boolean;
}

export interface RowSummary {
  readonly vocabSize: number;
  /** The row itself, where it can be read in place: to look at single tokens. */
  readonly row: Float32Array | undefined;
  /** Best first, the lower id first among equals: id, logit, id, logit, ... NaN as -Infinity. May hold more than was asked
   * for. */
  readonly top: Float32Array;
  /** At least those that were asked for. */
  readonly sums: readonly SegmentSums[];
}

export function sumsAt(summary: RowSummary, temperature: number): SegmentSums | undefined {
  return summary.sums.find((sums) => sums.temperature === temperature);
}
