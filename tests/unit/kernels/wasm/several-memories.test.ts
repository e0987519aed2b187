/** A model spread over several memories gives the bits that it gives in one. Real models need that beyond 4 GiB; here
 * the memories are made small. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OutOfMemoryError } from '../../../../engine/errors.ts';
import { WasmBackend } from '../../../../engine/kernels/wasm/wasm-backend.ts';
import { attachWasm, viewOf } from '../../../../engine/kernels/wasm/wasm-worker.ts';
import { loadModel } from '../../../../engine/loader/load-model.ts';
import type { ForwardBatch, StepResult } from '../../../../engine/model/forward-batch.ts';
import { createExecutor, createWorkers } from '../../../../engine/runner/create-executor.ts';
import {
  allocateModelMemory,
  type ModelMemoryOptions,
  outlineModelMemory,
} from '../../../../engine/runner/model-memory.ts';
import type { StepWorkers } from '../../../../engine/runner/step-workers.ts';
import { TINY, type TinyModelShape, writeTinyModel } from '../../../helpers/tiny-models.ts';

const SHAPE: TinyModelShape = {
  ...TINY,
  numLayers: 7,
  numKvHeads: 2,
  headDim: 32,
  hiddenSize: 64,
  intermediateSize: 96,
  dtype: 'q8_0',
};
const MEMORY: ModelMemoryOptions = {
  maxModelLen: 64,
  blockSize: 16,
  numBlocks: 8,
  kvDtype: 'f32',
  maxNumBatchedTokens: 24,
  maxNumSeqs: 2,
  maxLogitRows: 3,
};
/** Room for a layer or two beside the activations. */
const SMALL = 420_000;

/** A prompt of two sequences, its next chunk, and a step whose blocks are copied first: everything that a step can ask. */
function batches(): ForwardBatch[] {
  const ints = (...values: number[]) => Int32Array.from(values);
  const range = (start: number, end: number) => Int32Array.from({ length: end - start }, (_, i) => start + i);
  const none = ints();
  const prompt: ForwardBatch = {
    numTokens: 22,
    numSeqs: 2,
    maxBlocksPerSeq: 2,
    tokenIds: range(40, 62),
    positions: ints(...range(0, 18), ...range(0, 4)),
    slotMapping: ints(...range(16, 34), ...range(64, 68)),
    queryStartLoc: ints(0, 18, 22),
    seqLens: ints(18, 4),
    blockTables: ints(1, 2, 4, 0),
    outputRows: ints(...range(0, 10), 17, 19, 21),
    logitRows: ints(10, 12),
    numTop: 3,
    sumRows: ints(1, 0),
    sumTemperatures: [0.5, 1],
    wantsLogits: true,
    scoreRows: range(0, 10),
    scoreTokenIds: range(41, 51),
    hiddenRows: ints(2, 11),
    blockCopies: none,
  };
  const next: ForwardBatch = {
    numTokens: 2,
    numSeqs: 2,
    maxBlocksPerSeq: 2,
    tokenIds: ints(7, 8),
    positions: ints(18, 4),
    slotMapping: ints(50, 68),
    queryStartLoc: ints(0, 1, 2),
    seqLens: ints(19, 5),
    blockTables: ints(1, 3, 4, 0),
    outputRows: ints(0, 1),
    logitRows: ints(0, 1),
    numTop: 1,
    sumRows: none,
    sumTemperatures: [],
    wantsLogits: true,
    scoreRows: none,
    scoreTokenIds: none,
    hiddenRows: none,
    blockCopies: ints(2, 3),
  };
  return [prompt, next, { ...next, hiddenRows: ints(1), blockCopies: none }];
}

interface Outcome {
  readonly numMemories: number;
  readonly results: readonly Omit<StepResult, 'seesLogits' | 'fetchLogits'>[];
  readonly firstPage: Uint8Array;
}

async function run(path: string, maxHeapBytes: number | undefined, numThreads: number): Promise<Outcome> {
  const backend = new WasmBackend(maxHeapBytes === undefined ? {} : { maxHeapBytes });
  let workers: StepWorkers | undefined;
  try {
    const model = await loadModel(path, backend, {
      onConfig: (config) => outlineModelMemory(config, MEMORY),
      attachWorkers: () => {
        workers = createWorkers(backend, numThreads);
        workers?.attach(backend);
        return workers?.offload;
      },
    });
    const { memory } = allocateModelMemory(backend, model.config, MEMORY);
    const executor = createExecutor(backend, { ...model, memory }, workers);
    await executor.start();
    const results: Outcome['results'][number][] = [];
    for (const batch of batches()) {
      const result = await executor.execute(batch);
      // As a worker sees them that samples from whole rows.
      const logits = memory.activations.logits.slice(0, batch.logitRows.length);
      expect(viewOf(attachWasm(backend.attachment), logits)).toEqual(result.logits);
      // A result lies where the next step writes to.
      results.push({
        logits: result.logits.slice(),
        topLogits: result.topLogits.slice(),
        segmentSums: result.segmentSums.slice(),
        logprobs: result.logprobs.slice(),
        hiddenStates: result.hiddenStates.slice(),
      });
    }
    const firstPage = new Uint8Array(1000);
    await backend.readBytes(memory.kvCache.at(-1)!.keys, 0, firstPage);
    return { numMemories: backend.attachment.memories.length, results, firstPage };
  } finally {
    await workers?.close();
    await backend.close();
    expect(backend.memoryUsage()).toEqual({ weights: 0, kv: 0, scratch: 0 });
  }
}

describe('a model in several memories', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quern-memories-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each([
    { threads: [0, 1, 2], shape: SHAPE },
    { threads: [0], shape: { ...SHAPE, isTied: true, dtype: 'f16' as const } },
  ])('gives the same bits as in one: $threads threads, $shape.dtype', async ({ threads, shape }) => {
    const path = join(folder, `${shape.dtype}.gguf`);
    await writeTinyModel(path, shape);
    const alone = await run(path, undefined, 0);
    expect(alone.numMemories).toBe(1);
    expect(alone.results[0]!.logits.every(Number.isFinite)).toBe(true);
    for (const numThreads of threads) {
      const { numMemories, results, firstPage } = await run(path, SMALL, numThreads);
      expect(numMemories).toBeGreaterThan(2);
      expect(results).toEqual(alone.results);
      expect(firstPage).toEqual(alone.firstPage);
    }
  });

  it('is refused before anything is read when a layer fits into no memory', async () => {
    const path = join(folder, 'refused.gguf');
    await writeTinyModel(path, SHAPE);
    const error = await run(path, 250_000, 0).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({
      message: expect.stringMatching(/layer 0 of the model .* one WebAssembly memory holds/),
    });
  });
});
