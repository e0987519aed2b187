/** Which queries go together in a call of a kernel: those that see the same of a step's or a section's keys. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupsOf } from '../../../../engine/kernels/wasm/ops/attention-groups.ts';

const cases = () =>
  fc.record({
    numSharing: fc.integer({ min: 1, max: 7 }),
    window: fc.constantFrom(1, 17, 70, 700, Number.POSITIVE_INFINITY),
    maxGroup: fc.constantFrom(4, 6),
    firstQuery: fc.nat(40),
    headQueries: fc.integer({ min: 1, max: 64 }),
    firstPosition: fc.nat(1500),
    size: fc.constantFrom(64, 512),
    /** In keys of that size, from the one that holds the first row. */
    place: fc.integer({ min: -2, max: 2 }),
  });

describe('groupsOf', () => {
  it('names for each query exactly the keys that it sees', () => {
    fc.assert(
      fc.property(cases(), ({ numSharing, window, maxGroup, size, place, ...run }) => {
        const { firstQuery, headQueries, firstPosition } = run;
        const start = Math.max(0, Math.floor(firstPosition / size) + place) * size;
        const groups = groupsOf(run, start, size, { numSharing, window, maxGroup });
        const seen = Array.from({ length: headQueries }, (): number[] => []);
        for (const { first, count, from, to } of groups) {
          expect(count).toBeLessThanOrEqual(maxGroup);
          const keys = Array.from({ length: to - from }, (_, i) => start - (start % 512) + from + i);
          for (let i = first; i < first + count; i++) seen[i]!.push(...keys);
        }
        const isSeen = (query: number, key: number): boolean => {
          const position = firstPosition + Math.floor((firstQuery + query) / numSharing);
          return key <= position && key > position - window;
        };
        const keys = Array.from({ length: size }, (_, i) => start + i);
        expect(seen).toEqual(seen.map((_, query) => keys.filter((key) => isSeen(query, key))));
      }),
    );
  });

  it('puts rows together that see all of the keys, and heads of one row that do not', () => {
    const run = { firstQuery: 0, headQueries: 16, firstPosition: 62 };
    const rules = { numSharing: 2, window: Number.POSITIVE_INFINITY, maxGroup: 6 };
    expect(groupsOf(run, 0, 64, rules)).toEqual([
      { first: 0, count: 2, from: 0, to: 63 },
      { first: 2, count: 6, from: 0, to: 64 },
      { first: 8, count: 6, from: 0, to: 64 },
      { first: 14, count: 2, from: 0, to: 64 },
    ]);
  });
});
