/** Everything `Engine.load` puts together before the first request: backend, model, memory, executor. */
import { type EngineOptions, resolveEngineOptions, resolveMaxModelLen, resolveNumBlocks } from './engine-options.ts';
import { AbortError } from './errors.ts';
import { BACKENDS, createBackend } from './kernels/backend-registry.ts';
import { KvCacheManager } from './kvcache/kv-cache-manager.ts';
import { bytesPerKvBlock } from './kvcache/kv-cache-storage.ts';
import { loadModel } from './loader/load-model.ts';
import type { LoadedModel } from './loader/loaded-model.ts';
import { createExecutor } from './runner/create-executor.ts';
import type { Executor } from './runner/executor.ts';
import { type AllocatedMemory, allocateModelMemory } from './runner/model-memory.ts';

export interface LoadedEngine {
  readonly model: LoadedModel;
  readonly maxModelLen: number;
  readonly memory: AllocatedMemory;
  readonly executor: Executor;
  readonly kvCache: KvCacheManager;
}

/** @throws what `Engine.load` says; nothing stays allocated then */
export async function loadEngine(path: string, options: EngineOptions): Promise<LoadedEngine> {
  const resolved = resolveEngineOptions(options);
  const { tokenizerPath, onProgress, signal } = options;
  const { numerics = 'fast', revectorize = 'auto' } = options;
  const backend = await createBackend(resolved.backend, BACKENDS, { numerics, revectorize });
  try {
    const model = await loadModel(path, backend, { tokenizerPath, onProgress, signal });
    const maxModelLen = resolveMaxModelLen(options, model.config.contextLength);
    const { blockSize, kvDtype, maxNumBatchedTokens, maxNumSeqs, numThreads } = resolved;
    const { numLayers, numKvHeads, headDim, slidingWindow } = model.config;
    const numBlocks = resolveNumBlocks(options, {
      blocksPerSeq: Math.ceil(maxModelLen / blockSize),
      bytesPerBlock: bytesPerKvBlock({ dtype: kvDtype, numLayers, numKvHeads, blockSize, headDim }),
      maxNumSeqs,
    });
    const kvCache = new KvCacheManager({
      numBlocks,
      blockSize,
      modelFingerprint: model.fingerprint,
      slidingWindow,
      enablePrefixCaching: options.enablePrefixCaching ?? true,
    });
    const sizes = { maxModelLen, blockSize, numBlocks, kvDtype, maxNumBatchedTokens, maxNumSeqs };
    const memory = allocateModelMemory(backend, model.config, { ...sizes, maxLogitRows: maxNumSeqs });
    const executor = createExecutor(backend, { ...model, memory: memory.memory }, numThreads);
    try {
      await executor.start();
      signal?.throwIfAborted();
    } catch (error) {
      await executor.close();
      throw error;
    }
    return { model, maxModelLen, memory, executor, kvCache };
  } catch (error) {
    await backend.close();
    throw signal?.aborted && error === signal.reason ? new AbortError(signal.reason) : error;
  }
}

/** Stops the threads and gives all memory back. */
export async function closeLoaded({ executor, memory, model }: LoadedEngine): Promise<void> {
  await executor.close();
  memory.free();
  await model.backend.close();
}
