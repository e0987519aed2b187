import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashBlock } from '../../../engine/kvcache/block-hash.ts';
import { type ChainLink, PrefixCache } from '../../../engine/kvcache/prefix-cache.ts';
import { NaivePrefixCache, prefixKey } from './naive-prefix-cache.ts';

const BLOCK_SIZE = 2;

interface Step {
  readonly op: 'store' | 'remove' | 'match';
  readonly salt: string;
  /** Few different tokens, so that prefixes meet. */
  readonly tokens: readonly number[];
  readonly pick: number;
}

const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  op: fc.constantFrom('store', 'remove', 'match'),
  salt: fc.constantFrom('', 'tenant'),
  tokens: fc.array(fc.nat(1), { maxLength: 9 }),
  pick: fc.nat(1000),
});

function runBoth(steps: readonly Step[], hashFunction: typeof hashBlock): void {
  const cache = new PrefixCache({ blockSize: BLOCK_SIZE, modelFingerprint: 'm', hashFunction });
  const oracle = new NaivePrefixCache();
  const stored: { blockId: number; hash: number }[] = [];
  let nextBlockId = 1;
  for (const { op, salt, tokens, pick } of steps) {
    const tokenIds = Int32Array.from(tokens);
    const found = cache.match(tokenIds, tokens.length, salt);
    expect(found.blockIds.length).toBe(oracle.numMatching(salt, tokens, tokens.length, BLOCK_SIZE));
    for (const [i, blockId] of found.blockIds.entries()) {
      expect(oracle.blocksOf(prefixKey(salt, tokens, i + 1, BLOCK_SIZE))).toContain(blockId);
    }
    if (op === 'store') {
      // As a sequence that shares nothing: a new block for every full block of tokens.
      let parent: ChainLink = cache.root(salt);
      for (let i = 0; (i + 1) * BLOCK_SIZE <= tokens.length; i++) {
        const blockId = nextBlockId++;
        parent = cache.insert(parent, tokenIds, i * BLOCK_SIZE, blockId)!;
        oracle.insert(blockId, prefixKey(salt, tokens, i + 1, BLOCK_SIZE));
        stored.push({ blockId, hash: parent.hash });
      }
    } else if (op === 'remove' && stored.length > 0) {
      const [gone] = stored.splice(pick % stored.length, 1);
      cache.remove(gone!.blockId, gone!.hash);
      oracle.remove(gone!.blockId);
    }
  }
}

describe('PrefixCache', () => {
  it('finds exactly what a naive list finds', () => {
    fc.assert(
      fc.property(fc.array(stepArbitrary, { maxLength: 60, size: 'max' }), (steps) => runBoth(steps, hashBlock)),
    );
  });

  it('finds the same when every hash collides: hits are verified by tokens, parent and salt', () => {
    fc.assert(fc.property(fc.array(stepArbitrary, { maxLength: 60, size: 'max' }), (steps) => runBoth(steps, () => 7)));
  });

  it('leaves the last token to be computed', () => {
    const cache = new PrefixCache({ blockSize: 2, modelFingerprint: '' });
    const tokenIds = Int32Array.of(5, 6, 7, 8);
    const first = cache.insert(cache.root(''), tokenIds, 0, 1)!;
    cache.insert(first, tokenIds, 2, 2);
    expect(cache.match(tokenIds, 4, '').blockIds).toEqual([1]);
    expect(cache.match(Int32Array.of(5, 6, 7, 8, 9), 5, '').blockIds).toEqual([1, 2]);
    expect(cache.match(tokenIds, 2, '').blockIds).toEqual([]);
  });

  it('takes nothing in after a parent that is gone', () => {
    const cache = new PrefixCache({ blockSize: 2, modelFingerprint: '' });
    const tokenIds = Int32Array.of(5, 6, 7, 8, 9);
    const first = cache.insert(cache.root(''), tokenIds, 0, 1)!;
    cache.remove(1, first.hash);
    expect(cache.insert(first, tokenIds, 2, 2)).toBeUndefined();
    cache.insert(cache.root(''), tokenIds, 0, 3);
    expect(cache.match(tokenIds, 5, '').blockIds).toEqual([3]);
  });
});
