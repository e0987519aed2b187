/** Everything `Engine.load` puts together before the first request: backend, model, memory, executor. */
import { type ResolvedEngineOptions, resolveMaxModelLen, resolveNumBlocks } from './engine-options.ts';
import { AbortError, FormatError } from './errors.ts';
import { BACKENDS, createBackend, HOST_BACKENDS } from './kernels/backend-registry.ts';
import type { KernelBackend } from './kernels/kernel-backend.ts';
import { KvCacheManager } from './kvcache/kv-cache-manager.ts';
import { bytesPerKvBlock } from './kvcache/kv-cache-storage.ts';
import { loadModel } from './loader/load-model.ts';
import type { LoadedModel } from './loader/loaded-model.ts';
import type { ModelConfig } from './model/model-config.ts';
import { createExecutor, createWorkers } from './runner/create-executor.ts';
import type { Executor } from './runner/executor.ts';
import {
  type AllocatedMemory,
  allocateModelMemory,
  type ModelMemoryOptions,
  outlineModelMemory,
} from './runner/model-memory.ts';
import type { StepWorkers } from './runner/step-workers.ts';
import { checkString } from './util/option-reader.ts';

export interface LoadedEngine {
  readonly model: LoadedModel;
  readonly maxModelLen: number;
  readonly memory: AllocatedMemory;
  readonly executor: Executor;
  readonly kvCache: KvCacheManager;
}

/** Options that no model can make valid were refused before (`resolveEngineOptions`); those that this model cannot meet are
 * refused before its weights are read.
 * @throws what `Engine.load` says; nothing stays allocated then */
export async function loadEngine(path: string, options: ResolvedEngineOptions): Promise<LoadedEngine> {
  checkString('path', path);
  const { signal } = options;
  if (signal?.aborted) throw new AbortError(signal.reason);
  const backend = await createBackend(options.backend, BACKENDS, options);
  try {
    const parts = await loadParts(path, backend, options);
    const { model } = parts;
    const { maxModelLen, numBlocks } = cacheSizes(model.config, options);
    const kvCache = new KvCacheManager({
      numBlocks,
      blockSize: options.blockSize,
      modelFingerprint: model.fingerprint,
      slidingWindow: model.config.slidingWindow,
      enablePrefixCaching: options.enablePrefixCaching,
    });
    return { maxModelLen, kvCache, ...parts };
  } catch (error) {
    await backend.close();
    throw signal?.aborted && error === signal.reason ? new AbortError(signal.reason) : error;
  }
}

/** The same engine on another backend, when its own has lost its device: weights are read again, the KV cache begins empty.
 * The caller tells the scheduler. What is lost is given back once the new one is there.
 * @throws what keeps the model from being loaded, also that its file has changed; nothing is changed then */
export async function reloadEngine(
  lost: LoadedEngine,
  options: ResolvedEngineOptions,
  signal: AbortSignal,
): Promise<LoadedEngine> {
  const { path, fingerprint, backend: lostBackend } = lost.model;
  const backend =
    options.onDeviceLoss === 'cpu'
      ? await createBackend('auto', HOST_BACKENDS, options)
      : await createBackend(lostBackend.name, BACKENDS, options);
  try {
    const parts = await loadParts(path, backend, { ...options, signal, onProgress: undefined });
    if (parts.model.fingerprint !== fingerprint) {
      await parts.executor.close();
      throw new FormatError({ file: path, byteOffset: 0, field: 'weights' }, 'the file is another than it was');
    }
    await closeLoaded(lost);
    return { ...lost, ...parts };
  } catch (error) {
    await backend.close();
    throw error;
  }
}

type LoadedParts = Pick<LoadedEngine, 'model' | 'memory' | 'executor'>;

/** What lies on one backend. On failure its threads are stopped; who closes the backend frees the rest. */
async function loadParts(path: string, backend: KernelBackend, options: ResolvedEngineOptions): Promise<LoadedParts> {
  const { tokenizerPath, onProgress, signal, numThreads } = options;
  let workers: StepWorkers | undefined;
  let executor: Executor | undefined;
  try {
    const model = await loadModel(path, backend, {
      tokenizerPath,
      onProgress,
      signal,
      onConfig: (config) => {
        const needs = outlineModelMemory(config, memoryOptions(config, options));
        // They load their code while kernels are compiled.
        workers = createWorkers(backend, numThreads);
        return needs;
      },
      attachWorkers: () => {
        workers?.attach(backend);
        return workers?.offload;
      },
    });
    const memory = allocateModelMemory(backend, model.config, memoryOptions(model.config, options));
    executor = createExecutor(backend, { ...model, memory: memory.memory }, workers, numThreads);
    await executor.start();
    signal?.throwIfAborted();
    return { model, memory, executor };
  } catch (error) {
    await (executor ?? workers)?.close();
    throw error;
  }
}

function memoryOptions(config: ModelConfig, options: ResolvedEngineOptions): ModelMemoryOptions {
  const { blockSize, kvDtype, maxNumBatchedTokens, maxNumSeqs } = options;
  return {
    ...cacheSizes(config, options),
    blockSize,
    kvDtype,
    maxNumBatchedTokens,
    maxNumSeqs,
    maxLogitRows: maxNumSeqs,
  };
}

/** @throws InvalidArgumentError for a context that the model does not have, or memory that cannot hold it */
function cacheSizes(
  { contextLength, numLayers, numKvHeads, headDim }: ModelConfig,
  options: ResolvedEngineOptions,
): { readonly maxModelLen: number; readonly numBlocks: number } {
  const { blockSize, kvDtype, maxNumSeqs } = options;
  const maxModelLen = resolveMaxModelLen(options, contextLength);
  const numBlocks = resolveNumBlocks(options, {
    blocksPerSeq: Math.ceil(maxModelLen / blockSize),
    bytesPerBlock: bytesPerKvBlock({ dtype: kvDtype, numLayers, numKvHeads, blockSize, headDim }),
    maxNumSeqs,
  });
  return { maxModelLen, numBlocks };
}

/** Stops the threads and gives all memory back. */
export async function closeLoaded({ executor, memory, model }: LoadedEngine): Promise<void> {
  await executor.close();
  memory.free();
  await model.backend.close();
}
