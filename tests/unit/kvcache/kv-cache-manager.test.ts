import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContextLengthError, InvalidArgumentError } from '../../../engine/errors.ts';
import { lruEviction, lruInRuns } from '../../../engine/kvcache/eviction-policy.ts';
import type { FreeBlockQueue } from '../../../engine/kvcache/free-block-queue.ts';
import { KvCacheManager } from '../../../engine/kvcache/kv-cache-manager.ts';
import type { KvCacheManagerOptions } from '../../../engine/kvcache/kv-cache-options.ts';
import { Rng } from '../../../engine/util/rng.ts';
import { ManagerSimulation, type ManagerStep } from './manager-simulation.ts';

const OPS = ['start', 'start', 'grow', 'grow', 'grow', 'fork', 'free'] as const;
const SALTS = ['', '', '', 'tenant'] as const;

const stepArbitrary: fc.Arbitrary<ManagerStep> = fc.record({
  op: fc.constantFrom(...OPS),
  pick: fc.nat(1000),
  amount: fc.nat(9),
  tokens: fc.array(fc.nat(1), { minLength: 1, maxLength: 14 }),
  salt: fc.constantFrom(...SALTS),
});

const optionsArbitrary: fc.Arbitrary<KvCacheManagerOptions> = fc.record({
  numBlocks: fc.integer({ min: 2, max: 16 }),
  blockSize: fc.integer({ min: 1, max: 5 }),
  slidingWindow: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
  enablePrefixCaching: fc.constantFrom(true, true, true, false),
  // Any policy is correct, also one that evicts heads before tails.
  evictionPolicy: fc.constantFrom(lruEviction, lruInRuns, {
    chooseVictim: (free: FreeBlockQueue) => [...free].at(-1)!,
  }),
});

function sequence(id: number, tokens: readonly number[], numComputedTokens = 0) {
  return { id, tokenIds: Int32Array.from(tokens), numTokens: tokens.length, numComputedTokens, cacheSalt: '' };
}

/** Allocates, "computes" and caches all tokens. */
function compute(manager: KvCacheManager, id: number, tokens: readonly number[]) {
  const started = sequence(id, tokens);
  const prefix = manager.getComputedBlocks(started);
  const numCached = prefix.blockIds.length * manager.geometry.blockSize;
  expect(manager.allocateSlots(started, tokens.length - numCached, { prefix })).toBe(true);
  const computed = { ...started, numComputedTokens: tokens.length };
  manager.cacheFullBlocks(computed);
  return { computed, numCached };
}

describe('KvCacheManager against a naive model of the pages', () => {
  it('keeps every sequence its own tokens, whatever the order of calls', () => {
    fc.assert(
      fc.property(optionsArbitrary, fc.array(stepArbitrary, { maxLength: 60, size: 'max' }), (options, steps) => {
        const simulation = new ManagerSimulation(options);
        for (const step of steps) simulation.apply(step);
        simulation.finish();
      }),
    );
  });

  it.each([
    ['no window', 16, undefined],
    ['a window', 10, 7],
  ])('stays whole over 10,000 random operations with %s', (_, numBlocks, slidingWindow) => {
    const rng = Rng.fromSeed(2);
    const random = (below: number): number => rng.nextUint32() % below;
    const simulation = new ManagerSimulation({ numBlocks, blockSize: 4, slidingWindow });
    for (let i = 0; i < 10_000; i++) {
      simulation.apply({
        op: OPS[random(OPS.length)]!,
        pick: random(1000),
        amount: random(12),
        tokens: Array.from({ length: 1 + random(24) }, () => random(2)),
        salt: SALTS[random(SALTS.length)]!,
      });
    }
    // A run that met none of these would have shown little.
    expect(simulation.numHits).toBeGreaterThan(100);
    expect(simulation.numCopies).toBeGreaterThan(100);
    expect(simulation.numRefusals).toBeGreaterThan(100);
    simulation.finish();
  });
});

describe('KvCacheManager', () => {
  it('serves a shared prefix of 400 tokens and leaves the tail to compute', () => {
    const manager = new KvCacheManager({ numBlocks: 200, blockSize: 16 });
    const shared = Array.from({ length: 400 }, (_, i) => i);
    compute(manager, 1, [...shared, 1, 2, 3]);
    expect(compute(manager, 2, [...shared, 9, 9]).numCached).toBe(400);
    expect(manager.stats()).toMatchObject({ queries: 805, hits: 400, used: 27 });
  });

  it('keeps a finished prompt findable until its blocks are needed, and evicts its tail first', () => {
    const manager = new KvCacheManager({ numBlocks: 5, blockSize: 2 });
    const tokens = [1, 2, 3, 4, 5, 6, 7, 8];
    compute(manager, 1, tokens);
    manager.free(1);
    expect(manager.stats()).toMatchObject({ free: 4, cached: 4 });
    compute(manager, 2, [9, 9, 9]);
    manager.free(2);
    expect(manager.getComputedBlocks(sequence(3, [...tokens, 0])).blockIds.length).toBe(2);
  });

  it('gives all blocks or none', () => {
    const manager = new KvCacheManager({ numBlocks: 5, blockSize: 2 });
    expect(manager.allocateSlots(sequence(1, [1, 2, 3]), 3)).toBe(true);
    expect(manager.allocateSlots(sequence(2, [1, 2, 3, 4, 5]), 5)).toBeUndefined();
    expect(manager.stats()).toMatchObject({ used: 2, free: 2 });
    expect(manager.allocateSlots(sequence(2, [1, 2, 3, 4]), 4, { keepFree: 1 })).toBeUndefined();
    expect(manager.allocateSlots(sequence(2, [1, 2, 3, 4]), 4)).toBe(true);
  });

  it('copies a shared block once, before the first write into it', () => {
    const manager = new KvCacheManager({ numBlocks: 9, blockSize: 4 });
    const { computed: parent } = compute(manager, 1, [1, 2, 3, 4, 5, 6]);
    const child = sequence(2, [1, 2, 3, 4, 5, 7], 5);
    expect(manager.fork(parent, child, 5)).toBe(true);
    expect([...manager.blockTable(2)]).toEqual([...manager.blockTable(1)]);
    expect(manager.stats().used).toBe(2);
    manager.allocateSlots(child, 1);
    const [full, partial] = manager.blockTable(1);
    const [childFull, childPartial] = manager.blockTable(2);
    expect(childFull).toBe(full);
    expect(manager.takeBlockCopies()).toEqual([{ source: partial, target: childPartial }]);
    manager.allocateSlots(parent, 1);
    expect(manager.takeBlockCopies()).toEqual([]);
  });

  it('forgets a copy whose target is given back, and keeps the others', () => {
    const manager = new KvCacheManager({ numBlocks: 9, blockSize: 4 });
    const { computed: parent } = compute(manager, 1, [1, 2, 3, 4, 5, 6]);
    const children = [2, 3].map((id) => sequence(id, [1, 2, 3, 4, 5, 7], 5));
    for (const child of children) {
      manager.fork(parent, child, 5);
      manager.allocateSlots(child, 1);
    }
    const [, source] = manager.blockTable(1);
    const [, kept] = manager.blockTable(3);
    manager.free(2);
    manager.free(1);
    expect(manager.takeBlockCopies()).toEqual([{ source, target: kept }]);
  });

  it('knows a block once when a fork has shared it before it was cached', () => {
    const manager = new KvCacheManager({ numBlocks: 2, blockSize: 2 });
    const parent = sequence(1, [1, 2], 2);
    manager.allocateSlots({ ...parent, numComputedTokens: 0 }, 2);
    const child = sequence(2, [1, 2, 3], 2);
    expect(manager.fork(parent, child, 2)).toBe(true);
    for (const each of [parent, child]) manager.cacheFullBlocks(each);
    expect(manager.stats().cached).toBe(1);
    for (const { id } of [parent, child]) manager.free(id);
    expect(manager.getComputedBlocks(child).blockIds).toEqual([1]);
    // Other content takes the only block: the old must not be found in it.
    compute(manager, 3, [8, 9]);
    expect(manager.getComputedBlocks(child).blockIds).toEqual([]);
  });

  it('frees what the sliding window has left behind and puts the null block in its place', () => {
    const manager = new KvCacheManager({ numBlocks: 9, blockSize: 2, slidingWindow: 4 });
    const growing = sequence(1, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for (let i = 0; i < 10; i++) expect(manager.allocateSlots({ ...growing, numComputedTokens: i }, 1)).toBe(true);
    // Token 9 sees 6 to 9: the blocks of tokens 0 to 5 are gone.
    const table = [...manager.blockTable(1)];
    expect(table.map((id) => id === 0)).toEqual([true, true, true, false, false]);
    expect(manager.stats().used).toBe(2);
  });

  it('says when a sequence could never fit, and counts a window only once', () => {
    const manager = new KvCacheManager({ numBlocks: 5, blockSize: 4 });
    manager.checkCapacity(16, 8);
    expect(() => manager.checkCapacity(17, 8)).toThrow(ContextLengthError);
    const windowed = new KvCacheManager({ numBlocks: 5, blockSize: 4, slidingWindow: 5 });
    windowed.checkCapacity(1_000_000, 8);
    expect(() => windowed.checkCapacity(1_000_000, 32)).toThrow(/KV cache/);
  });

  it('refuses wrong forks, prefixes and options', () => {
    const manager = new KvCacheManager({ numBlocks: 9, blockSize: 2 });
    const { computed: parent } = compute(manager, 1, [1, 2, 3]);
    expect(() => manager.fork(parent, sequence(2, [1, 9, 9]), 2)).toThrow(InvalidArgumentError);
    expect(() => manager.fork(parent, sequence(2, [1, 2]), 2)).toThrow(InvalidArgumentError);
    expect(() => manager.fork(parent, { ...sequence(2, [1, 2, 3]), cacheSalt: 'x' }, 2)).toThrow(InvalidArgumentError);
    expect(() => manager.fork(parent, parent, 2)).toThrow(/has blocks already/);
    expect(manager.fork(sequence(7, [1, 2, 3], 3), sequence(2, [1, 2, 3]), 2)).toBeUndefined();
    expect(manager.fork({ ...parent, numComputedTokens: 1 }, sequence(2, [1, 2, 3]), 2)).toBeUndefined();
    const prefix = manager.getComputedBlocks(sequence(3, [1, 2, 3]));
    expect(() => manager.allocateSlots(parent, 1, { prefix })).toThrow(/has blocks already/);
    expect(manager.resetPrefixCache()).toBeUndefined();
    for (const watermark of [-0.1, 1, Number.NaN]) {
      expect(() => new KvCacheManager({ numBlocks: 9, blockSize: 2, watermark })).toThrow(/watermark/);
    }
    expect(() => new KvCacheManager({ numBlocks: 9, blockSize: 0 })).toThrow(/blockSize/);
    expect(() => new KvCacheManager({ numBlocks: 9, blockSize: 2, slidingWindow: 0 })).toThrow(/slidingWindow/);
  });
});
