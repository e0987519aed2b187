/** What saving and restoring need of an engine. */
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { KvCacheManager } from '../kvcache/kv-cache-manager.ts';
import type { KvCacheStorage } from '../kvcache/kv-cache-storage.ts';

export interface PromptCacheHost {
  readonly kvCache: KvCacheManager;
  readonly backend: KernelBackend;
  /** The pages, one entry per layer. */
  readonly layers: KvCacheStorage['layers'];
  /** As the manager was given it. */
  readonly modelFingerprint: string;
  /** Runs `task` while no step is in flight: a block that was freed during a step is written to until its end. Rejects
   * when there is no such moment any more, because the engine was closed. */
  betweenSteps<T>(task: () => Promise<T>): Promise<T>;
}
