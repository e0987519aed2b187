import { describe, expect, it } from 'vitest';
import { hashBlock, hashRoot } from '../../../engine/kvcache/block-hash.ts';

describe('hashBlock', () => {
  it('gives a whole number that a Map key holds exactly, the same every time', () => {
    const tokens = Int32Array.of(1, 2, 3, 4);
    const hash = hashBlock(hashRoot('model', ''), tokens, 0, 4);
    expect(Number.isSafeInteger(hash) && hash >= 0).toBe(true);
    expect(hashBlock(hashRoot('model', ''), tokens, 0, 4)).toBe(hash);
  });

  it('covers the tokens, their order, their number, the parent, the model and the salt', () => {
    const tokens = Int32Array.of(1, 2, 3, 0, 2, 1, 3, 0, 0);
    const root = hashRoot('model', '');
    const hashes = [
      hashBlock(root, tokens, 0, 4),
      hashBlock(root, tokens, 4, 8),
      hashBlock(root, tokens, 0, 3),
      hashBlock(hashBlock(root, tokens, 0, 4), tokens, 0, 4),
      hashBlock(hashRoot('other', ''), tokens, 0, 4),
      hashBlock(hashRoot('model', 'tenant'), tokens, 0, 4),
      hashBlock(root, tokens, 0, 0),
      hashBlock(root, tokens, 7, 8),
      hashBlock(root, tokens, 7, 9),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(hashRoot('ab', 'c')).not.toBe(hashRoot('a', 'bc'));
  });

  it('keeps 200,000 similar blocks apart, in both lanes', () => {
    // 53 random bits would collide with a chance of about 2e-6; the low 32 bits about 4.7 times (birthday bound).
    const all = new Set<number>();
    const low = new Set<number>();
    const high = new Map<number, number>();
    for (let i = 0; i < 200_000; i++) {
      const hash = hashBlock(12345, Int32Array.of(i % 100, Math.floor(i / 100), 7, 7), 0, 4);
      all.add(hash);
      low.add(hash >>> 0);
      const top = Math.floor(hash / 2 ** 43);
      high.set(top, (high.get(top) ?? 0) + 1);
    }
    expect(all.size).toBe(200_000);
    expect(low.size).toBeGreaterThan(199_950);
    // 1024 buckets of 195 on average: a standard deviation of 14.
    expect(high.size).toBe(1024);
    expect(Math.max(...high.values())).toBeLessThan(195 + 6 * 14);
  });
});
