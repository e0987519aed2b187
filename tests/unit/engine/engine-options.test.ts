import { describe, expect, it } from 'vitest';
import { resolveEngineOptions, resolveMaxModelLen, resolveNumBlocks } from '../../../engine/engine-options.ts';
import { systemClock, type TimerClock } from '../../../engine/util/clock.ts';

describe('engine options', () => {
  it('have the defaults that their comments promise', () => {
    expect(resolveEngineOptions({ numThreads: 3 })).toEqual({
      backend: 'auto',
      numThreads: 3,
      kvDtype: 'f32',
      blockSize: 16,
      numerics: 'fast',
      revectorize: 'auto',
      matmulPrecision: 'f32',
      matvecPrecision: 'f32',
      onDeviceLoss: 'fail',
      maxNumBatchedTokens: 512,
      maxNumSeqs: 64,
      maxPrefillChunk: 256,
      maxNumQueuedRequests: 1024,
      maxNumQueuedTokens: Number.MAX_SAFE_INTEGER,
      maxBatchSize: 32,
      maxWaitMs: 100,
      schedulingPolicy: 'fcfs',
      priorityAgeingMs: 1000,
      enablePrefixCaching: true,
      clock: systemClock,
    });
    expect(resolveMaxModelLen({}, 131072)).toBe(4096);
    expect(resolveMaxModelLen({}, 512)).toBe(512);
    expect(resolveMaxModelLen({ maxModelLen: 100_000 }, 131072)).toBe(100_000);
  });

  it.each([
    [{ numThreads: -1 }, /numThreads: must be a whole number from 0/],
    [{ numThreads: 1.5 }, /numThreads/],
    [{ kvDtype: 'q4_0' as 'f32' }, /kvDtype: must be one of f32, f16, q8_0, got "q4_0"/],
    [{ blockSize: 0 }, /blockSize/],
    [{ maxNumSeqs: 10, maxNumBatchedTokens: 9 }, /maxNumBatchedTokens: must be a whole number from 10, got 9/],
    [{ maxPrefillChunk: 513 }, /maxPrefillChunk: .* to 512/],
    [{ maxNumSeqs: Number.NaN }, /maxNumSeqs/],
    [{ maxNumQueuedRequests: 0 }, /maxNumQueuedRequests: must be a whole number from 1, got 0/],
    [{ maxNumQueuedTokens: -1 }, /maxNumQueuedTokens/],
    [{ maxBatchSize: 0.5 }, /maxBatchSize/],
    [{ maxWaitMs: -1 }, /maxWaitMs: must be a number from 0 to 2147483647, got -1/],
    [{ maxWaitMs: Number.NaN }, /maxWaitMs/],
    [{ priorityAgeingMs: 0 }, /priorityAgeingMs: must be a number above 0/],
    [{ schedulingPolicy: 'lifo' as 'fcfs' }, /schedulingPolicy/],
    [{ backend: 5 as unknown as string }, /backend: must be a string, got 5/],
    [{ enablePrefixCaching: 'no' as unknown as boolean }, /enablePrefixCaching: must be a boolean/],
    [{ onProgress: 'loud' as unknown as () => void }, /onProgress: must be a function/],
    [{ signal: {} as AbortSignal }, /signal: must be an AbortSignal/],
    [{ clock: { nowMs: () => 0 } as unknown as TimerClock }, /clock: must have nowMs\(\) and setTimer\(\)/],
    [{ maxNumSeq: 2 } as object, /unknown option "maxNumSeq"; did you mean maxNumSeqs/],
    [{ treads: 2 } as object, /unknown option "treads"; there are backend, /],
    [null as unknown as object, /engine options: must be an object, got null/],
  ])('%o is refused', (options, message) => {
    expect(() => resolveEngineOptions(options)).toThrow(message);
  });

  it('refuses a context that the model does not have', () => {
    expect(() => resolveMaxModelLen({ maxModelLen: 513 }, 512)).toThrow(/from 1 to 512, got 513/);
  });

  describe('KV blocks', () => {
    const sizes = { blocksPerSeq: 4, bytesPerBlock: 1000, maxNumSeqs: 8 };

    it('are enough for every sequence, the null block beside them', () => {
      expect(resolveNumBlocks({}, sizes)).toBe(4 * 8 + 1);
    });

    it('stay within a gigabyte, but always hold one whole sequence', () => {
      expect(resolveNumBlocks({}, { ...sizes, bytesPerBlock: 2 ** 26 })).toBe(16);
      expect(resolveNumBlocks({}, { ...sizes, bytesPerBlock: 2 ** 30 })).toBe(5);
    });

    it('follow kvCacheBytes, which must hold one whole sequence', () => {
      expect(resolveNumBlocks({ kvCacheBytes: 7999 }, sizes)).toBe(7);
      expect(() => resolveNumBlocks({ kvCacheBytes: 4999 }, sizes)).toThrow(/kvCacheBytes: .* from 5000, got 4999/);
    });
  });
});
