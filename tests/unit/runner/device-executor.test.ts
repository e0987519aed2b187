/** Rows of a device's logits are sampled by threads that share no memory with it. */
import { expect, it } from 'vitest';
import { bundledModelPath } from '../../../engine/bundled-model.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { loadModel } from '../../../engine/loader/load-model.ts';
import type { ForwardBatch } from '../../../engine/model/forward-batch.ts';
import { createExecutor } from '../../../engine/runner/create-executor.ts';
import { DeviceExecutor } from '../../../engine/runner/device-executor.ts';
import { InlineExecutor } from '../../../engine/runner/inline-executor.ts';
import { allocateModelMemory } from '../../../engine/runner/model-memory.ts';
import { Candidates } from '../../../engine/sampling/candidates.ts';
import { runSampleJob } from '../../../engine/sampling/run-sample-job.ts';
import { Sampler } from '../../../engine/sampling/sampler.ts';
import { resolveSamplingParams } from '../../../engine/sampling/sampling-params.ts';

/** As a GPU looks to the engine: memory that cannot be seen in place, and no part for worker threads. */
class Device extends ReferenceBackend {
  constructor() {
    super();
    Object.defineProperty(this, 'name', { value: 'device' });
    Object.defineProperty(this, 'view', { value: undefined });
  }

  override async download(tensor: Parameters<ReferenceBackend['download']>[0]): Promise<Float32Array> {
    return new Float32Array(ReferenceBackend.prototype.view.call(this, tensor));
  }
}

/** Three tokens of one sequence; all rows are of interest. */
function batchOf(wantsLogits: boolean): ForwardBatch {
  const none = new Int32Array(0);
  const positions = Int32Array.of(0, 1, 2);
  return {
    numTokens: 3,
    numSeqs: 1,
    maxBlocksPerSeq: 1,
    tokenIds: Int32Array.of(40, 41, 42),
    positions,
    slotMapping: positions,
    queryStartLoc: Int32Array.of(0, 3),
    seqLens: Int32Array.of(3),
    blockTables: Int32Array.of(0),
    outputRows: positions,
    logitRows: positions,
    numTop: 1,
    sumRows: none,
    sumTemperatures: [],
    wantsLogits,
    scoreRows: none,
    scoreTokenIds: none,
    hiddenRows: none,
    blockCopies: none,
  };
}

it('samples as the calling thread does, whether or not the step has brought the rows to the host', async () => {
  const backend = new Device();
  const model = await loadModel(bundledModelPath('draft'), backend, {});
  const sizes = { maxModelLen: 8, blockSize: 8, numBlocks: 1, kvDtype: 'f32' as const, maxNumSeqs: 3 };
  const { memory } = allocateModelMemory(backend, model.config, { ...sizes, maxNumBatchedTokens: 3, maxLogitRows: 3 });
  expect(createExecutor(backend, { ...model, memory }, undefined, 0)).toBeInstanceOf(InlineExecutor);
  const executor = createExecutor(backend, { ...model, memory }, undefined, 2);
  expect(executor).toBeInstanceOf(DeviceExecutor);
  expect(executor).toMatchObject({ numThreads: 0, summarySupport: { maxTop: 512, sums: true, rows: false } });

  const candidates = new Candidates(model.config.vocabSize);
  const params = resolveSamplingParams({ temperature: 2, typical_p: 0.9, logprobs: 2 });
  const history = { tokenIds: [40, 41, 42], numTokens: 3, numPromptTokens: 3 };
  const jobs = [2, 0, 1].map((place) => ({
    place,
    job: new Sampler({ params, candidates, seed: place }).jobFor(history)!,
  }));
  try {
    for (const wantsLogits of [true, false]) {
      const result = await executor.execute(batchOf(wantsLogits));
      expect(result).toMatchObject({ seesLogits: false });
      expect(result.logits.length).toBe(wantsLogits ? 3 * model.config.vocabSize : 0);
      const sampled = await executor.sampleRows!(jobs);
      for (const [i, { place, job }] of jobs.entries()) {
        expect(sampled[i]).toEqual(runSampleJob(job, await result.fetchLogits(place), candidates));
      }
    }
  } finally {
    await executor.close();
    await backend.close();
  }
});
