import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../engine/errors.ts';
import { BlockPool, NULL_BLOCK_ID } from '../../../engine/kvcache/block-pool.ts';
import { Rng } from '../../../engine/util/rng.ts';

/** The pool as a person would write it down: lists and maps, everything searched. */
class NaivePool {
  readonly owners = new Map<number, number>();
  readonly hashes = new Map<number, number>();
  readonly evicted: [number, number][] = [];
  freeList: number[];

  constructor(numBlocks: number) {
    this.freeList = Array.from({ length: numBlocks - 1 }, (_, i) => i + 1);
  }

  allocate(): number | undefined {
    const id = this.freeList.shift();
    if (id === undefined) return undefined;
    const hash = this.hashes.get(id);
    if (hash !== undefined) this.evicted.push([id, hash]);
    this.hashes.delete(id);
    this.owners.set(id, 1);
    return id;
  }

  touch(id: number): void {
    this.freeList = this.freeList.filter((other) => other !== id);
    this.owners.set(id, (this.owners.get(id) ?? 0) + 1);
  }

  free(id: number): void {
    const left = this.owners.get(id)! - 1;
    if (left > 0) {
      this.owners.set(id, left);
      return;
    }
    this.owners.delete(id);
    if (this.hashes.has(id)) this.freeList.push(id);
    else this.freeList.unshift(id);
  }
}

type Step = readonly [op: 'allocate' | 'touch' | 'free' | 'setHash' | 'clearHash' | 'adopt', pick: number];

/** Runs the steps on both and compares all that can be seen after each. `pick` chooses among what is allowed. */
function runBoth(numBlocks: number, steps: Iterable<Step>): void {
  const evicted: [number, number][] = [];
  const pool = new BlockPool({ numBlocks, onEvict: (id, hash) => evicted.push([id, hash]) });
  const oracle = new NaivePool(numBlocks);
  let nextHash = 1;
  for (const [op, pick] of steps) {
    const used = [...oracle.owners.keys()];
    const kept = [...used, ...oracle.hashes.keys()].sort((a, b) => a - b);
    const choose = (ids: number[]): number | undefined => ids[pick % Math.max(1, ids.length)];
    if (op === 'allocate') expect(pool.allocate()).toBe(oracle.allocate());
    const empty = oracle.freeList.filter((b) => !oracle.hashes.has(b));
    expect(pool.emptyBlockIds()).toEqual(empty);
    const adopted = op === 'adopt' ? choose(empty) : undefined;
    if (adopted !== undefined) {
      pool.adopt(adopted, nextHash);
      oracle.hashes.set(adopted, nextHash++);
    }
    const id = choose(op === 'touch' ? kept : op === 'setHash' ? used.filter((b) => !oracle.hashes.has(b)) : used);
    if (id !== undefined && op === 'touch') {
      pool.touch(id);
      oracle.touch(id);
    } else if (id !== undefined && op === 'free') {
      pool.free(id);
      oracle.free(id);
    } else if (id !== undefined && op === 'setHash') {
      pool.setHash(id, nextHash);
      oracle.hashes.set(id, nextHash++);
    } else if (id !== undefined && op === 'clearHash') {
      pool.clearHash(id);
      oracle.hashes.delete(id);
    }
    expect(pool.freeBlockIds()).toEqual(oracle.freeList);
    expect(pool.numFree + pool.numUsed).toBe(numBlocks - 1);
    expect(pool.numUsed).toBe(oracle.owners.size);
    expect(pool.numCached).toBe(oracle.hashes.size);
    for (let b = 0; b < numBlocks; b++) {
      expect(pool.refCount(b)).toBe(oracle.owners.get(b) ?? 0);
      expect(pool.hash(b)).toBe(oracle.hashes.get(b));
      expect(pool.isEmpty(b)).toBe(oracle.freeList.includes(b) && !oracle.hashes.has(b));
    }
  }
  expect(evicted).toEqual(oracle.evicted);
  for (const [id, count] of oracle.owners) for (let i = 0; i < count; i++) pool.free(id);
  expect(pool.numFree).toBe(numBlocks - 1);
}

const OPS = ['allocate', 'allocate', 'touch', 'free', 'free', 'setHash', 'clearHash', 'adopt'] as const;

describe('BlockPool', () => {
  it('agrees with a naive pool on any sequence of calls', () => {
    const step = fc.tuple(fc.constantFrom(...OPS), fc.nat(1000));
    fc.assert(fc.property(fc.integer({ min: 2, max: 9 }), fc.array(step, { maxLength: 100, size: 'max' }), runBoth));
  });

  it('agrees with a naive pool over 10,000 random calls', () => {
    const rng = Rng.fromSeed(1);
    const steps = Array.from({ length: 10_000 }, (): Step => {
      return [OPS[rng.nextUint32() % OPS.length]!, rng.nextUint32()];
    });
    runBoth(12, steps);
  });

  it('reuses blocks without content first, then the longest unused', () => {
    const pool = new BlockPool({ numBlocks: 4 });
    const [a, b, c] = [pool.allocate()!, pool.allocate()!, pool.allocate()!];
    pool.setHash(a, 1);
    pool.setHash(b, 2);
    for (const id of [b, a, c]) pool.free(id);
    expect([pool.allocate(), pool.allocate(), pool.allocate()]).toEqual([c, b, a]);
    expect(pool.allocate()).toBeUndefined();
  });

  it('keeps adopted content in its place: after what is empty, before what was used here', () => {
    const pool = new BlockPool({ numBlocks: 6 });
    const used = pool.allocate()!;
    pool.setHash(used, 1);
    pool.free(used);
    const empty = pool.emptyBlockIds();
    const [first, second] = [empty.pop()!, empty.pop()!];
    pool.adopt(first, 2);
    pool.adopt(second, 3);
    expect(pool.freeBlockIds()).toEqual([...empty, second, first, used]);
    expect(pool.numCached).toBe(3);
  });

  it('follows another eviction policy', () => {
    const pool = new BlockPool({ numBlocks: 5, evictionPolicy: { chooseVictim: (free) => [...free].at(-1)! } });
    expect([pool.allocate(), pool.allocate()]).toEqual([4, 3]);
  });

  it('refuses what would break its counts', () => {
    const pool = new BlockPool({ numBlocks: 3 });
    const id = pool.allocate()!;
    pool.free(id);
    expect(() => pool.free(id)).toThrow(InvalidArgumentError);
    expect(() => pool.setHash(id, 1)).toThrow(InvalidArgumentError);
    pool.adopt(id, 1);
    expect(() => pool.adopt(id, 1)).toThrow(InvalidArgumentError);
    expect(() => pool.adopt(pool.allocate()!, 1)).toThrow(InvalidArgumentError);
    for (const bad of [NULL_BLOCK_ID, -1, 3, Number.NaN]) {
      expect(() => pool.adopt(bad, 1)).toThrow(InvalidArgumentError);
      expect(() => pool.touch(bad)).toThrow(InvalidArgumentError);
      expect(() => pool.free(bad)).toThrow(InvalidArgumentError);
    }
    const broken = new BlockPool({ numBlocks: 3, evictionPolicy: { chooseVictim: () => 0 } });
    expect(() => broken.allocate()).toThrow(/not free/);
    for (const numBlocks of [1, 0, -1, 1.5, Number.NaN]) {
      expect(() => new BlockPool({ numBlocks })).toThrow(/numBlocks/);
    }
  });
});
