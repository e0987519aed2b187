/** How much memory a model takes when it runs: computed from its hyperparameters, before anything is allocated. */
import { bytesPerKvBlock, type KvDType } from '../kvcache/kv-cache-storage.ts';
import type { ModelConfig } from '../model/model-config.ts';

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

/** Backends that repack weights may take somewhat more. `model-memory.ts` allocates what is counted here.
 * @param weights  bytes of all tensors as stored */
export function estimateMemory(config: ModelConfig, weights: number, options: MemoryEstimateOptions): MemoryEstimate {
  const { contextLength, kvDtype, numSeqs = 1, blockSize = 16, maxNumBatchedTokens = 512 } = options;
  const { numLayers, numKvHeads, headDim } = config;
  const blockBytes = bytesPerKvBlock({ dtype: kvDtype, numLayers, numKvHeads, blockSize, headDim });
  // One block is nobody's: padding points to it.
  const kvCache = (Math.ceil(contextLength / blockSize) * numSeqs + 1) * blockBytes;
  const scratch = scratchBytes(config, { contextLength, numSeqs, blockSize, maxNumBatchedTokens });
  return {
    contextLength,
    kvDtype,
    numSeqs,
    weights,
    kvCache,
    kvCachePerToken: blockBytes / blockSize,
    scratch,
    total: weights + kvCache + scratch,
  };
}

type StepSizes = Required<Omit<MemoryEstimateOptions, 'kvDtype'>>;

/** Elements of 4 bytes: f32 or i32. */
function scratchBytes(
  config: ModelConfig,
  { contextLength, numSeqs, blockSize, maxNumBatchedTokens }: StepSizes,
): number {
  const { hiddenSize, intermediateSize, vocabSize, numHeads, numKvHeads, headDim, rotary } = config;
  // Residual stream, normed and final states; queries, attention, keys, values; gate, up; a log-probability.
  const perToken = 3 * hiddenSize + 2 * (numHeads + numKvHeads) * headDim + 2 * intermediateSize + 1;
  const perLogitRow = hiddenSize + vocabSize;
  const rotaryTable = contextLength * rotary.numRotaryDims;
  const inputsPerToken = 6; // token id, position, slot; a scored row, its token; a row of hidden states
  const inputsPerSeq = 1 + 1 + 2 + Math.ceil(contextLength / blockSize) + 1; // start, length, a copy, its blocks, logit row
  const elements =
    maxNumBatchedTokens * (perToken + inputsPerToken) + numSeqs * (perLogitRow + inputsPerSeq) + 1 + rotaryTable;
  return elements * 4;
}
