import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrangeUnits } from '../../../../engine/kernels/wasm/arrange-units.ts';

describe('arrangeUnits', () => {
  it('fills one memory after the other, in order', () => {
    expect(arrangeUnits([10, 40, 40, 40, 5], 100)).toEqual([0, 0, 0, 1, 1]);
    expect(arrangeUnits([100, 100, 0, 1], 100)).toEqual([0, 1, 1, 2]);
    expect(arrangeUnits([], 100)).toEqual([]);
  });

  it('names the unit that fits nowhere', () => {
    expect(arrangeUnits([10, 101, 200], 100)).toEqual({ unit: 1, byteLength: 101 });
  });

  it('never overfills a memory, goes back to none, and opens none while there is room', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 40 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 100, max: 300 }), (unitBytes, capacity) => {
        const memoryOf = arrangeUnits(unitBytes, capacity) as readonly number[];
        expect(memoryOf).toHaveLength(unitBytes.length);
        const used: number[] = [];
        for (const [unit, memory] of memoryOf.entries()) {
          if (memory >= used.length) {
            expect(memory).toBe(used.length);
            if (memory > 0) expect(used[memory - 1]! + unitBytes[unit]!).toBeGreaterThan(capacity);
            used.push(0);
          }
          expect(memory).toBe(used.length - 1);
          used[memory]! += unitBytes[unit]!;
        }
        for (const bytes of used) expect(bytes).toBeLessThanOrEqual(capacity);
      }),
    );
  });
});
