/** The estimate against what really is allocated, so that neither changes without the other. */
import { describe, expect, it } from 'vitest';
import { estimateMemory } from '../../../engine/inspect/memory-estimate.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import type { KvDType } from '../../../engine/kvcache/kv-cache-storage.ts';
import type { ModelConfig } from '../../../engine/model/model-config.ts';
import { allocateModelMemory } from '../../../engine/runner/model-memory.ts';

const CONFIG: ModelConfig = {
  ...{ architecture: 'llama', name: 'test', vocabSize: 777, hiddenSize: 96, intermediateSize: 160, numLayers: 3 },
  ...{ numHeads: 6, numKvHeads: 2, headDim: 32, rmsNormEps: 1e-5, contextLength: 2048 },
  rotary: { style: 'interleaved', numRotaryDims: 16, theta: 10000, scaling: { kind: 'none' } },
};

describe('estimateMemory', () => {
  it.each([
    ['f32', 100, 1, 16, 512],
    ['f16', 2048, 5, 16, 64],
    ['q8_0', 33, 2, 8, 7],
  ] as [KvDType, number, number, number, number][])(
    '%s, %i tokens, %i sequences, blocks of %i, steps of %i: what is allocated',
    async (kvDtype, contextLength, numSeqs, blockSize, maxNumBatchedTokens) => {
      const backend = new ReferenceBackend();
      const estimate = estimateMemory(CONFIG, 1234, {
        kvDtype,
        contextLength,
        numSeqs,
        blockSize,
        maxNumBatchedTokens,
      });
      const allocated = allocateModelMemory(backend, CONFIG, {
        ...{ maxModelLen: contextLength, blockSize, kvDtype, maxNumBatchedTokens },
        ...{ maxNumSeqs: numSeqs, maxLogitRows: numSeqs },
        numBlocks: Math.ceil(contextLength / blockSize) * numSeqs + 1,
      });
      const { kv, scratch } = backend.memoryUsage();
      expect(estimate.kvCache).toBe(kv);
      expect(estimate.scratch).toBe(scratch);
      expect(estimate.total).toBe(1234 + kv + scratch);
      allocated.free();
      await backend.close();
    },
  );
});
