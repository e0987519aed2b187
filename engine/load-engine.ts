/** Everything `Engine.load` puts together before the first request: backend, model, memory, executor. */
import { type ResolvedEngineOptions, resolveMaxModelLen, resolveNumBlocks } from './engine-options.ts';
import { AbortError, FormatError } from './errors.ts';
import { BACKENDS, createBackend, HOST_BACKENDS } from './kernels/backend-registry.ts';
import { KvCacheManager } from './kvcache/kv-cache-manager.ts';
import { bytesPerKvBlock } from './kvcache/kv-cache-storage.ts';
import { loadModel } from './loader/load-model.ts';
import type { LoadedModel } from './loader/loaded-model.ts';
import type { ModelConfig } from './model/model-config.ts';
import { createExecutor } from './runner/create-executor.ts';
import type { Executor } from './runner/executor.ts';
import { type AllocatedMemory, allocateModelMemory } from './runner/model-memory.ts';
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
  const { signal, tokenizerPath, onProgress } = options;
  if (signal?.aborted) throw new AbortError(signal.reason);
  const backend = await createBackend(options.backend, BACKENDS, options);
  try {
    const onConfig = (config: ModelConfig): void => void cacheSizes(config, options);
    const model = await loadModel(path, backend, { tokenizerPath, onProgress, onConfig, signal });
    const { maxModelLen, numBlocks } = cacheSizes(model.config, options);
    const kvCache = new KvCacheManager({
      numBlocks,
      blockSize: options.blockSize,
      modelFingerprint: model.fingerprint,
      slidingWindow: model.config.slidingWindow,
      enablePrefixCaching: options.enablePrefixCaching,
    });
    return { maxModelLen, kvCache, ...(await prepare(model, options)) };
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
    const model = await loadModel(path, backend, { tokenizerPath: options.tokenizerPath, signal });
    if (model.fingerprint !== fingerprint) {
      throw new FormatError({ file: path, byteOffset: 0, field: 'weights' }, 'the file is another than it was');
    }
    const prepared = await prepare(model, { ...options, signal });
    await closeLoaded(lost);
    return { ...lost, ...prepared };
  } catch (error) {
    await backend.close();
    throw error;
  }
}

async function prepare(
  model: LoadedModel,
  options: ResolvedEngineOptions,
): Promise<Pick<LoadedEngine, 'model' | 'memory' | 'executor'>> {
  const { backend, config } = model;
  const { blockSize, kvDtype, maxNumBatchedTokens, maxNumSeqs, numThreads, signal } = options;
  const { maxModelLen, numBlocks } = cacheSizes(config, options);
  const sizes = { maxModelLen, blockSize, numBlocks, kvDtype, maxNumBatchedTokens, maxNumSeqs };
  const memory = allocateModelMemory(backend, config, { ...sizes, maxLogitRows: maxNumSeqs });
  const executor = createExecutor(backend, { ...model, memory: memory.memory }, numThreads);
  try {
    await executor.start();
    signal?.throwIfAborted();
  } catch (error) {
    await executor.close();
    throw error;
  }
  return { model, memory, executor };
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
