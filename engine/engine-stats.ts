/** What `engine.stats()` tells. Counts are since the engine was loaded. */
import type { CoreStats } from './engine-core.ts';
import type { FeatureState, KernelBackend, MemoryUsage } from './kernels/kernel-backend.ts';
import type { MetricsSnapshot } from './metrics.ts';

export interface EngineStats extends MetricsSnapshot {
  /** The backend really in use. */
  readonly backend: string;
  /** What of the machine it really uses, and why not more. */
  readonly features: Readonly<Record<string, FeatureState>>;
  /** Threads that compute; 0 when the caller's does. */
  readonly numThreads: number;
  /** Sequences now; queued are also scoring and embedding requests that wait for their batch. */
  readonly numQueued: number;
  readonly numRunning: number;
  readonly numSteps: number;
  readonly numPreemptions: number;
  /** How often a GPU was lost and the model loaded again, or tried to. */
  readonly numDeviceLosses: number;
  readonly kvCache: {
    /** Blocks now: all that can hold tokens, those that sequences hold, and those with content a later prompt may use. */
    readonly numBlocks: number;
    readonly numUsedBlocks: number;
    readonly numCachedBlocks: number;
    /** Share of looked-up prompt tokens that were found, 0 to 1. */
    readonly hitRate: number;
  };
  /** Bytes owned now, by purpose. */
  readonly memory: MemoryUsage;
}

export function summarizeStats(
  { scheduler, kvCache, metrics }: CoreStats,
  parts: {
    readonly backend: KernelBackend;
    readonly numThreads: number;
    /** Requests that the scheduler does not know yet. */
    readonly numCollected: number;
    readonly numDeviceLosses: number;
  },
): EngineStats {
  const { backend, numThreads, numCollected, numDeviceLosses } = parts;
  return {
    backend: backend.name,
    features: backend.features ?? {},
    numThreads,
    numQueued: scheduler.numWaiting + numCollected,
    numRunning: scheduler.numRunning,
    numSteps: scheduler.numSteps,
    numPreemptions: scheduler.numPreemptions,
    numDeviceLosses,
    ...metrics,
    kvCache: {
      numBlocks: kvCache.numUsableBlocks,
      numUsedBlocks: kvCache.used,
      numCachedBlocks: kvCache.cached,
      hitRate: kvCache.queries === 0 ? 0 : kvCache.hits / kvCache.queries,
    },
    memory: backend.memoryUsage(),
  };
}
