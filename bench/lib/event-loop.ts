/** How long the event loop of this thread keeps others waiting. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** The timer behind the measurement fires every so often. An idle loop shows this much, not 0. */
export const RESOLUTION_MS = 10;

export interface EventLoopDelay {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Time between two ticks of a 10 ms timer while `work` runs, as `perf_hooks.monitorEventLoopDelay` gives it: the timer's
 * own 10 ms are part of each figure. */
export async function withEventLoopDelay<T>(work: () => Promise<T>): Promise<{ result: T; delay: EventLoopDelay }> {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  const result = await work();
  histogram.disable();
  const toMs = (nanoseconds: number): number => nanoseconds / 1e6;
  return {
    result,
    delay: {
      p50Ms: toMs(histogram.percentile(50)),
      p99Ms: toMs(histogram.percentile(99)),
      maxMs: toMs(histogram.max),
    },
  };
}
