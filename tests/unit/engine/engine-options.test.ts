import { describe, expect, it } from 'vitest';
import { resolveEngineOptions, resolveMaxModelLen, resolveNumBlocks } from '../../../engine/engine-options.ts';

describe('engine options', () => {
  it('have the defaults that their comments promise', () => {
    expect(resolveEngineOptions({ numThreads: 3 })).toEqual({
      backend: 'auto',
      numThreads: 3,
      kvDtype: 'f32',
      blockSize: 16,
      maxNumBatchedTokens: 512,
      maxNumSeqs: 64,
      maxPrefillChunk: 256,
    });
    expect(resolveMaxModelLen({}, 131072)).toBe(4096);
    expect(resolveMaxModelLen({}, 512)).toBe(512);
    expect(resolveMaxModelLen({ maxModelLen: 100_000 }, 131072)).toBe(100_000);
  });

  it.each([
    [{ numThreads: -1 }, /numThreads: must be a whole number from 0/],
    [{ numThreads: 1.5 }, /numThreads/],
    [{ kvDtype: 'q4_0' as 'f32' }, /kvDtype: must be one of f32, f16, q8_0, got q4_0/],
    [{ blockSize: 0 }, /blockSize/],
    [{ maxNumSeqs: 10, maxNumBatchedTokens: 9 }, /maxNumBatchedTokens: must be a whole number from 10, got 9/],
    [{ maxPrefillChunk: 513 }, /maxPrefillChunk: .* to 512/],
    [{ maxNumSeqs: Number.NaN }, /maxNumSeqs/],
    [{ treads: 2 } as object, /treads: is not an option of the engine; known are backend, /],
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
