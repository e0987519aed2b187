/** How much memory a model takes when it runs: computed from its hyperparameters, before anything is allocated. */
import { bytesPerKvBlock, type KvDType } from '../kvcache/kv-cache-storage.ts';
import type { ModelConfig } from '../model/model-config.ts';
import { outlineModelMemory } from '../runner/model-memory.ts';
import { byteLengthOf } from '../tensor/storage.ts';

export interface MemoryEstimateOptions {
  /** Tokens that one sequence may reach. */
  readonly contextLength: number;
  readonly kvDtype: KvDType;
  /** Sequences that run at the same time. Default 1. */
  readonly numSeqs?: number;
  /** Tokens per KV block. Default 16, as the engine's. */
  readonly blockSize?: number;
  /** Tokens computed in one step. Default 512, as the engine's. */
  readonly maxNumBatchedTokens?: number;
}

/** All in bytes, but the context length. */
export interface MemoryEstimate {
  readonly contextLength: number;
  readonly kvDtype: KvDType;
  readonly numSeqs: number;
  readonly weights: number;
  readonly kvCache: number;
  readonly kvCachePerToken: number;
  /** Activations of the largest step, the rotary table and the step's inputs. */
  readonly scratch: number;
  readonly total: number;
}

/** Backends that repack weights may take somewhat more.
 * @param weights  bytes of all tensors as stored */
export function estimateMemory(config: ModelConfig, weights: number, options: MemoryEstimateOptions): MemoryEstimate {
  const { contextLength, kvDtype, numSeqs = 1, blockSize = 16, maxNumBatchedTokens = 512 } = options;
  const { numLayers, numKvHeads, headDim } = config;
  const blockBytes = bytesPerKvBlock({ dtype: kvDtype, numLayers, numKvHeads, blockSize, headDim });
  // One block is nobody's: padding points to it.
  const numBlocks = Math.ceil(contextLength / blockSize) * numSeqs + 1;
  const outline = outlineModelMemory(config, {
    ...{ maxModelLen: contextLength, blockSize, numBlocks, kvDtype, maxNumBatchedTokens },
    ...{ maxNumSeqs: numSeqs, maxLogitRows: numSeqs },
  });
  const scratch = outline.scratch.reduce((sum, { dtype, shape }) => sum + byteLengthOf(dtype, shape), 0);
  return {
    contextLength,
    kvDtype,
    numSeqs,
    weights,
    kvCache: numBlocks * blockBytes,
    kvCachePerToken: blockBytes / blockSize,
    scratch,
    total: weights + numBlocks * blockBytes + scratch,
  };
}
