/** What a row becomes does not depend on which other rows are looked at. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelBackend } from '../../../engine/kernels/kernel-backend.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { WasmBackend } from '../../../engine/kernels/wasm/wasm-backend.ts';
import { loadModel } from '../../../engine/loader/load-model.ts';
import type { ForwardBatch } from '../../../engine/model/forward-batch.ts';
import { createExecutor } from '../../../engine/runner/create-executor.ts';
import { type AllocatedMemory, allocateModelMemory } from '../../../engine/runner/model-memory.ts';
import { TINY, writeTinyModel } from '../../helpers/tiny-models.ts';

const NUM_TOKENS = 9;
const NONE = new Int32Array(0);

/** A prompt of one sequence of which some rows' hidden states are wanted, and the logits of the last of them. */
function promptBatch(outputRows: readonly number[]): ForwardBatch {
  const positions = Int32Array.from({ length: NUM_TOKENS }, (_, i) => i);
  const places = Int32Array.from(outputRows, (_, i) => i);
  return {
    numTokens: NUM_TOKENS,
    numSeqs: 1,
    maxBlocksPerSeq: 1,
    tokenIds: positions.map((i) => 30 + i),
    positions,
    slotMapping: positions,
    queryStartLoc: Int32Array.of(0, NUM_TOKENS),
    seqLens: Int32Array.of(NUM_TOKENS),
    blockTables: Int32Array.of(0),
    outputRows: Int32Array.from(outputRows),
    logitRows: places.slice(-1),
    numTop: 0,
    sumRows: NONE,
    sumTemperatures: [],
    wantsLogits: true,
    scoreRows: NONE,
    scoreTokenIds: NONE,
    hiddenRows: places,
    blockCopies: NONE,
  };
}

describe.each<[string, () => KernelBackend]>([
  ['reference', () => new ReferenceBackend()],
  ['wasm', () => new WasmBackend()],
])('rows that are looked at (%s)', (_, createBackend) => {
  let folder: string;
  let backend: KernelBackend;
  let model: Awaited<ReturnType<typeof loadModel>>;
  let memory: AllocatedMemory;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quern-rows-'));
    const path = join(folder, 'model.gguf');
    // Attention is wider than the residual stream: what is kept of each goes into a buffer of its own width.
    await writeTinyModel(path, { ...TINY, numLayers: 2, hiddenSize: 32, headDim: 32, groupSize: 2, numKvHeads: 1 });
    backend = createBackend();
    model = await loadModel(path, backend, {});
    const sizes = { maxModelLen: 16, blockSize: 16, numBlocks: 1, kvDtype: 'f32' as const, maxNumSeqs: 1 };
    memory = allocateModelMemory(backend, model.config, {
      ...sizes,
      maxNumBatchedTokens: NUM_TOKENS,
      maxLogitRows: 1,
    });
  });
  afterAll(async () => {
    await backend.close?.();
    await rm(folder, { recursive: true });
  });

  const run = async (outputRows: readonly number[]) => {
    const executor = createExecutor(backend, { ...model, memory: memory.memory }, undefined, 0);
    const { hiddenStates, logits } = await executor.execute(promptBatch(outputRows));
    const { hiddenSize } = model.config;
    const states = outputRows.map((_, i) => hiddenStates.slice(i * hiddenSize, (i + 1) * hiddenSize));
    return { states, logits: logits.slice() };
  };

  it('have the same bits whichever they are', async () => {
    const all = await run(Array.from({ length: NUM_TOKENS }, (_, i) => i));
    await fc.assert(
      fc.asyncProperty(fc.subarray([...all.states.keys()]), async (rows) => {
        const some = await run(rows);
        expect(some.states).toEqual(rows.map((row) => all.states[row]));
        if (rows.at(-1) === NUM_TOKENS - 1) expect(some.logits).toEqual(all.logits);
      }),
      { numRuns: 40 },
    );
  });
});
