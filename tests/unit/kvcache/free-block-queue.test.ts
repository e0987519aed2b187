import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FreeBlockQueue } from '../../../engine/kvcache/free-block-queue.ts';

const NUM_BLOCKS = 8;

describe('FreeBlockQueue', () => {
  it('does what an array does, whatever the order of calls', () => {
    const step = fc.tuple(fc.constantFrom('pushBack', 'pushFront', 'remove'), fc.nat(NUM_BLOCKS - 1));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: 'max' }), (steps) => {
        const queue = new FreeBlockQueue(NUM_BLOCKS);
        let oracle: number[] = [];
        for (const [op, id] of steps) {
          // The queue's contract: push what is absent, remove what is present.
          if (oracle.includes(id) !== (op === 'remove')) continue;
          queue[op](id);
          if (op === 'remove') oracle = oracle.filter((other) => other !== id);
          else if (op === 'pushBack') oracle.push(id);
          else oracle.unshift(id);
          expect([...queue]).toEqual(oracle);
          expect(queue.size).toBe(oracle.length);
          expect(queue.first).toBe(oracle[0]);
          for (let i = -1; i <= NUM_BLOCKS + 1; i++) expect(queue.has(i)).toBe(oracle.includes(i));
        }
      }),
    );
  });

  it('is empty when it can hold nothing', () => {
    const queue = new FreeBlockQueue(0);
    expect(queue.first).toBeUndefined();
    expect([...queue]).toEqual([]);
  });
});
