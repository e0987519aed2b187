/** What a few samples say. Medians, because one slow repetition on a shared machine must not decide. */

export interface Summary {
  readonly samples: readonly number[];
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** NaN throughout for no samples. */
export function summarize(samples: readonly number[]): Summary {
  return { samples, median: percentile(samples, 50), min: percentile(samples, 0), max: percentile(samples, 100) };
}

/** Linear between the two nearest ranks, as numpy does it. NaN for no values.
 * @param percent  from 0 to 100 */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = ((sorted.length - 1) * percent) / 100;
  const low = sorted[Math.floor(rank)];
  const high = sorted[Math.ceil(rank)];
  if (low === undefined || high === undefined) return Number.NaN;
  return low + (high - low) * (rank - Math.floor(rank));
}
