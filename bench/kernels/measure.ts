/** Times a function: repetitions of enough calls each, and their median, fastest and slowest. */

export interface Timing {
  /** Nanoseconds per call, one entry per repetition, in the order measured. */
  readonly samples: readonly number[];
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface MeasureOptions {
  /** At least 5 for a figure worth reporting. */
  readonly repetitions: number;
  /** How long one repetition shall take at least. */
  readonly minMs: number;
}

export function measure(run: () => void, { repetitions, minMs }: MeasureOptions): Timing {
  const calls = callsFor(run, minMs);
  const samples = Array.from({ length: repetitions }, () => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) run();
    return ((performance.now() - start) * 1e6) / calls;
  });
  const sorted = samples.toSorted((a, b) => a - b);
  return { samples, median: sorted[sorted.length >> 1]!, min: sorted[0]!, max: sorted.at(-1)! };
}

/** Also the warm-up. */
function callsFor(run: () => void, minMs: number): number {
  for (let calls = 1; ; calls *= 2) {
    const start = performance.now();
    for (let i = 0; i < calls; i++) run();
    const ms = performance.now() - start;
    if (ms >= minMs / 4) return Math.max(1, Math.ceil((calls * minMs) / ms));
  }
}
