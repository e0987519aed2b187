/** All memory a model needs besides its weights, as tensors: KV pages, the rotary table, and inputs and activations for
 * the largest step allowed. Allocated once; each step works on views cut to its own size. Plain data, so that it can be
 * handed to workers. */
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { TensorOutline } from '../kernels/memory-outline.ts';
import { type KvCacheShape, KvCacheStorage, type KvDType, kvPagesShape } from '../kvcache/kv-cache-storage.ts';
import type { ModelConfig } from '../model/model-config.ts';
import type { Activations, ForwardInputs, KvLayer } from '../model/model-family.ts';
import { buildRotaryTable } from '../model/rotary.ts';
import { numSegments } from '../sampling/segment-sums.ts';
import { MAX_TOP } from '../sampling/summary-strategy.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A row's own temperature, and 1 for its log-probabilities. */
const MAX_SUMS_PER_ROW = 2;

export interface ModelMemoryOptions {
  /** Positions a sequence may reach, in tokens. */
  readonly maxModelLen: number;
  /** Tokens per KV block. */
  readonly blockSize: number;
  /** KV blocks in the pool. */
  readonly numBlocks: number;
  readonly kvDtype: KvDType;
  /** Tokens in one step, over all sequences. */
  readonly maxNumBatchedTokens: number;
  readonly maxNumSeqs: number;
  /** Rows of logits computed at once. Minimum: rows whose logits are wanted whole in one step. */
  readonly maxLogitRows: number;
}

export interface ModelMemory {
  readonly kvCache: readonly KvLayer[];
  readonly rotaryTable: Tensor;
  readonly inputs: ForwardInputs;
  readonly activations: Activations;
}

/** A model's memory on one backend, with the means to give it back. */
export interface AllocatedMemory {
  readonly memory: ModelMemory;
  readonly options: ModelMemoryOptions;
  free(): void;
}

/** @throws OutOfMemoryError when the backend cannot hold it all; nothing stays allocated then. */
export function allocateModelMemory(
  backend: KernelBackend,
  config: ModelConfig,
  options: ModelMemoryOptions,
): AllocatedMemory {
  const scratch: Tensor[] = [];
  const allocate = (dtype: 'f32' | 'i32', shape: readonly number[]): Tensor => {
    const tensor = backend.allocate(dtype, shape, 'scratch');
    scratch.push(tensor);
    return tensor;
  };
  let storage: KvCacheStorage | undefined;
  const free = (): void => {
    storage?.free();
    storage = undefined;
    for (const tensor of scratch.splice(0)) backend.free(tensor);
  };
  try {
    storage = new KvCacheStorage(backend, kvShapeOf(config, options));
    const scratchTensors = allocateScratch(allocate, config, options);
    backend.upload(scratchTensors.rotaryTable, buildRotaryTable(config.rotary, options.maxModelLen));
    return { memory: { kvCache: storage.layers, ...scratchTensors }, options, free };
  } catch (error) {
    free();
    throw error;
  }
}

/** What `allocateModelMemory` will ask for: a layer's KV pages, and everything else. */
export function outlineModelMemory(
  config: ModelConfig,
  options: ModelMemoryOptions,
): { readonly kvPerLayer: readonly TensorOutline[]; readonly scratch: readonly TensorOutline[] } {
  const kv = kvShapeOf(config, options);
  const pages: TensorOutline = { dtype: kv.dtype, shape: kvPagesShape(kv) };
  const scratch: TensorOutline[] = [];
  const note = (dtype: 'f32' | 'i32', shape: readonly number[]): void => void scratch.push({ dtype, shape });
  allocateScratch(note, config, options);
  return { kvPerLayer: [pages, pages], scratch };
}

function kvShapeOf({ numLayers, numKvHeads, headDim }: ModelConfig, options: ModelMemoryOptions): KvCacheShape {
  const { kvDtype: dtype, numBlocks, blockSize } = options;
  return { dtype, numLayers, numBlocks, numKvHeads, blockSize, headDim };
}

type Allocate<T> = (dtype: 'f32' | 'i32', shape: readonly number[]) => T;

function allocateScratch<T>(allocate: Allocate<T>, config: ModelConfig, options: ModelMemoryOptions) {
  return {
    rotaryTable: allocate('f32', [options.maxModelLen, config.rotary.numRotaryDims]),
    inputs: allocateInputs(allocate, options),
    activations: allocateActivations(allocate, config, options),
  };
}

function allocateInputs<T>(allocate: Allocate<T>, options: ModelMemoryOptions): Record<keyof ForwardInputs, T> {
  const { maxNumBatchedTokens, maxNumSeqs, maxLogitRows, maxModelLen, blockSize } = options;
  const maxBlocksPerSeq = Math.ceil(maxModelLen / blockSize);
  return {
    tokenIds: allocate('i32', [maxNumBatchedTokens]),
    positions: allocate('i32', [maxNumBatchedTokens]),
    slotMapping: allocate('i32', [maxNumBatchedTokens]),
    queryStartLoc: allocate('i32', [maxNumSeqs + 1]),
    seqLens: allocate('i32', [maxNumSeqs]),
    blockTables: allocate('i32', [maxNumSeqs * maxBlocksPerSeq]),
    outputRows: allocate('i32', [maxNumBatchedTokens]),
    logitRows: allocate('i32', [maxLogitRows]),
    sumRows: allocate('i32', [maxLogitRows * MAX_SUMS_PER_ROW]),
    scoreRows: allocate('i32', [maxNumBatchedTokens]),
    scoreTokenIds: allocate('i32', [maxNumBatchedTokens]),
    hiddenRows: allocate('i32', [maxNumBatchedTokens]),
    blockCopies: allocate('i32', [maxNumSeqs * 2]),
  };
}

function allocateActivations<T>(
  allocate: Allocate<T>,
  config: ModelConfig,
  options: ModelMemoryOptions,
): Record<keyof Activations, T> {
  const { maxNumBatchedTokens, maxLogitRows } = options;
  const rows = (width: number): T => allocate('f32', [maxNumBatchedTokens, width]);
  return {
    hidden: rows(config.hiddenSize),
    normed: rows(config.hiddenSize),
    query: rows(config.numHeads * config.headDim),
    key: rows(config.numKvHeads * config.headDim),
    value: rows(config.numKvHeads * config.headDim),
    attention: rows(config.numHeads * config.headDim),
    gated: rows(config.intermediateSize),
    output: allocate('f32', [maxLogitRows, config.hiddenSize]),
    logits: allocate('f32', [maxLogitRows, config.vocabSize]),
    topLogits: allocate('f32', [maxLogitRows * Math.min(MAX_TOP, config.vocabSize) * 2]),
    segmentSums: allocate('f32', [maxLogitRows * MAX_SUMS_PER_ROW, numSegments(config.vocabSize), 3]),
    logprobs: allocate('f32', [maxNumBatchedTokens]),
    hiddenStates: rows(config.hiddenSize),
  };
}
