/** How long the event loop of this thread keeps others waiting, and how much of that is its own doing. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** The timer behind the measurement fires every so often. An idle loop shows this much, not 0. */
export const RESOLUTION_MS = 10;

export interface EventLoopDelay {
  /** Time between two ticks of a 10 ms timer, as `perf_hooks.monitorEventLoopDelay` gives it: the timer's own 10 ms are
   * part of each figure. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Most CPU time that this thread used between two ticks. A longer delay than this was spent waiting for a CPU that other
   * threads had. NaN on a Node without `process.threadCpuUsage` (before 23.9). */
  readonly ownMaxMs: number;
}

export async function withEventLoopDelay<T>(work: () => Promise<T>): Promise<{ result: T; delay: EventLoopDelay }> {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const own = watchOwnTime();
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
      ownMaxMs: own.stop(),
    },
  };
}

function watchOwnTime(): { stop(): number } {
  let before = threadCpuMs();
  let most = 0;
  const tick = (): void => {
    const now = threadCpuMs();
    most = Math.max(most, now - before);
    before = now;
  };
  const timer = setInterval(tick, RESOLUTION_MS);
  return {
    stop() {
      clearInterval(timer);
      tick();
      return most;
    },
  };
}

function threadCpuMs(): number {
  // Absent in older Nodes, whatever the types say.
  const usage = (process as Partial<Pick<NodeJS.Process, 'threadCpuUsage'>>).threadCpuUsage?.();
  return usage === undefined ? Number.NaN : (usage.user + usage.system) / 1000;
}
