import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fcfsOrder, priorityOrder, SortedQueue } from '../../../engine/scheduler/request-queue.ts';
import { Sequence } from '../../../engine/scheduler/sequence.ts';

interface Arrival {
  readonly priority: number;
  readonly afterMs: number;
}

const arrivalArbitrary: fc.Arbitrary<Arrival> = fc.record({
  priority: fc.integer({ min: -3, max: 3 }),
  afterMs: fc.nat(30),
});

function arrive(arrivals: readonly Arrival[]): Sequence[] {
  let nowMs = 0;
  return arrivals.map(({ priority, afterMs }, index) => {
    const sequence = new Sequence({ id: index, promptTokenIds: [1, 2], maxNewTokens: 1, priority });
    nowMs += afterMs;
    sequence.arrivalMs = nowMs;
    sequence.arrivalIndex = index;
    return sequence;
  });
}

describe('SortedQueue', () => {
  it('keeps its order through pushes and removals from anywhere', () => {
    const operations = fc.array(fc.nat(19), { maxLength: 80, size: 'max' });
    const arrivals = fc.array(arrivalArbitrary, { minLength: 20, maxLength: 20 });
    fc.assert(
      fc.property(arrivals, operations, fc.boolean(), (times, picks, byPriority) => {
        const order = byPriority ? priorityOrder(10) : fcfsOrder;
        const sequences = arrive(times);
        const queue = new SortedQueue(order);
        const oracle = new Set<Sequence>();
        for (const pick of picks) {
          const sequence = sequences[pick]!;
          const isQueued = oracle.has(sequence);
          expect(queue.remove(sequence)).toBe(isQueued);
          if (isQueued) {
            oracle.delete(sequence);
          } else {
            queue.push(sequence);
            oracle.add(sequence);
          }
          const expected = [...oracle].sort(order);
          expect([...queue]).toEqual(expected);
          expect(expected.map((_, i) => queue.at(i))).toEqual(expected);
          expect([queue.size, queue.numTokens]).toEqual([oracle.size, oracle.size * 2]);
        }
      }),
    );
  });
});

describe('priorityOrder', () => {
  it('is the order of priorities lowered by the time waited, at whatever time one looks', () => {
    const ageingMs = 10;
    const arrivals = fc.array(arrivalArbitrary, { maxLength: 12 });
    fc.assert(
      fc.property(arrivals, fc.nat(1000), (times, laterMs) => {
        const sequences = arrive(times);
        const nowMs = (sequences.at(-1)?.arrivalMs ?? 0) + laterMs;
        // In whole milliseconds, so that equal levels are equal.
        const level = ({ priority, arrivalMs }: Sequence): number => priority * ageingMs - (nowMs - arrivalMs);
        const byLevel = [...sequences].sort((a, b) => level(a) - level(b) || a.arrivalIndex - b.arrivalIndex);
        expect([...sequences].sort(priorityOrder(ageingMs))).toEqual(byLevel);
      }),
    );
  });

  it('lets nobody overtake who arrives later than the difference in priorities allows', () => {
    const [waiting, inTime, tooLate] = arrive([
      { priority: 3, afterMs: 0 },
      { priority: 0, afterMs: 29 },
      { priority: 0, afterMs: 1 },
    ]);
    const order = priorityOrder(10);
    expect(order(inTime!, waiting!)).toBeLessThan(0);
    expect(order(waiting!, tooLate!)).toBeLessThan(0);
  });
});
