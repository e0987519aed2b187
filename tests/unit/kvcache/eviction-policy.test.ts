/** lruInRuns: blocks of a sequence follow one another, and what goes first is nearly what LRU lets go first. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockPool } from '../../../engine/kvcache/block-pool.ts';
import { type EvictionPolicy, lruEviction, lruInRuns } from '../../../engine/kvcache/eviction-policy.ts';
import { KvCacheManager } from '../../../engine/kvcache/kv-cache-manager.ts';
import { Rng } from '../../../engine/util/rng.ts';

/** Share of the entries of a table whose block comes right after the one before it. */
function shareInRuns(table: Int32Array): number {
  const inRow = table.filter((block, i) => i > 0 && block === table[i - 1]! + 1).length;
  return inRow / Math.max(1, table.length - 1);
}

function sequenceOf(id: number, length: number, seed: number) {
  const rng = Rng.fromSeed(seed);
  const tokenIds = Int32Array.from({ length }, () => rng.nextUint32() % 1000);
  return { id, tokenIds, numTokens: length, numComputedTokens: 0, cacheSalt: '' };
}

/** Sequences that come in, grow a token at a time all together, and leave, `numRounds` times.
 * @returns the share of the tables' blocks that are in runs, in the last round */
function serve(manager: KvCacheManager, { numRounds, numAtOnce, prompt, generated }: Load): number {
  let share = 0;
  for (let round = 0; round < numRounds; round++) {
    const running = Array.from({ length: numAtOnce }, (_, i) =>
      sequenceOf(round * numAtOnce + i, prompt + generated, round * numAtOnce + i),
    );
    for (const sequence of running) {
      expect(manager.allocateSlots(sequence, prompt)).toBe(true);
      sequence.numComputedTokens = prompt;
    }
    for (let i = 0; i < generated; i++) {
      for (const sequence of running) {
        expect(manager.allocateSlots(sequence, 1)).toBe(true);
        sequence.numComputedTokens++;
        manager.cacheFullBlocks(sequence);
      }
    }
    share = running.reduce((sum, { id }) => sum + shareInRuns(manager.blockTable(id)), 0) / numAtOnce;
    for (const { id } of running) manager.free(id);
    expect(manager.findInconsistency()).toBeUndefined();
  }
  return share;
}

interface Load {
  readonly numRounds: number;
  readonly numAtOnce: number;
  readonly prompt: number;
  readonly generated: number;
}

describe('lruInRuns', () => {
  it('keeps a sequence in runs, also when many grow together and when all blocks were used before', () => {
    const load = { numAtOnce: 8, prompt: 200, generated: 200 };
    const shareAfter = (numRounds: number, evictionPolicy: EvictionPolicy) =>
      serve(new KvCacheManager({ numBlocks: 2000, blockSize: 4, evictionPolicy }), { ...load, numRounds });
    expect(shareAfter(1, lruInRuns)).toBeGreaterThan(0.9);
    // 8 sequences of 100 blocks each: from the third round on they take what others left.
    expect(shareAfter(8, lruInRuns)).toBeGreaterThan(0.6);
    expect(shareAfter(8, lruEviction)).toBeLessThan(0.3);
  });

  it('gives out every block there is, also where no run is left', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 400 }), fc.array(fc.nat(1000), { maxLength: 400 }), (numBlocks, picks) => {
        const pool = new BlockPool({ numBlocks, evictionPolicy: lruInRuns });
        const used: number[] = [];
        for (const [i, pick] of picks.entries()) {
          if (pick % 3 !== 0 && pool.numFree > 0) {
            const blockId = pool.allocate(pick % 2 === 0 ? used.at(-1) : undefined)!;
            if (pick % 5 === 0) pool.setHash(blockId, i + 1);
            used.push(blockId);
          } else if (used.length > 0) pool.free(used.splice(pick % used.length, 1)[0]!);
        }
        while (pool.numFree > 0) used.push(pool.allocate(used.at(-1))!);
        expect(new Set(used).size).toBe(numBlocks - 1);
        expect(pool.allocate()).toBeUndefined();
      }),
    );
  });

  it('takes no cached block that was used much later than the one that LRU would take', () => {
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 500 }), fc.integer({ min: 0, max: 2 ** 31 - 1 }), (numBlocks, seed) => {
        const rng = Rng.fromSeed(seed);
        const pool = new BlockPool({ numBlocks, evictionPolicy: lruInRuns });
        const ids = Array.from({ length: numBlocks - 1 }, () => pool.allocate()!);
        ids.forEach((id, i) => {
          pool.setHash(id, i + 1);
        });
        const order = ids.toSorted((a, b) => ((a * 7919 + seed) % 101) - ((b * 7919 + seed) % 101));
        for (const id of order) pool.free(id);
        let last: number | undefined;
        for (let i = 0; i < numBlocks / 2; i++) {
          const free = pool.freeBlockIds();
          last = pool.allocate(rng.nextFloat() < 0.8 ? last : undefined)!;
          expect(free.indexOf(last)).toBeLessThanOrEqual(free.length / 2);
        }
      }),
    );
  });

  it('wants blocks without content first, whatever the order', () => {
    const pool = new BlockPool({ numBlocks: 321, evictionPolicy: lruInRuns });
    const ids = Array.from({ length: 320 }, () => pool.allocate()!);
    for (const id of ids) {
      if (id < 304) pool.setHash(id, id);
    }
    for (const id of ids) pool.free(id);
    const next = Array.from({ length: 16 }, () => 0);
    next.forEach((_, i) => {
      next[i] = pool.allocate(next[i - 1])!;
    });
    expect(next).toEqual(Array.from({ length: 16 }, (_, i) => 304 + i));
  });
});
