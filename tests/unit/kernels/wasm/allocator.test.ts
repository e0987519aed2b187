import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ALIGNMENT, Allocator } from '../../../../engine/kernels/wasm/allocator.ts';

const [START, LIMIT] = [1024, 1024 + 64 * ALIGNMENT];

describe('Allocator', () => {
  it('hands out aligned pieces that never overlap, and merges all gaps in the end', () => {
    const step = fc.record({ byteLength: fc.integer({ min: 0, max: 12 * ALIGNMENT }), freed: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const allocator = new Allocator(START, LIMIT);
        const living: { address: number; byteLength: number }[] = [];
        for (const { byteLength, freed } of steps) {
          const address = allocator.allocate(byteLength);
          if (address === undefined) {
            const [piece] = living.splice(freed % living.length, 1);
            allocator.free(piece!.address);
            continue;
          }
          expect(address % ALIGNMENT).toBe(0);
          expect(address >= START && address + byteLength <= LIMIT).toBe(true);
          for (const other of living) {
            const apart = address + Math.max(1, byteLength) <= other.address;
            expect(apart || other.address + Math.max(1, other.byteLength) <= address).toBe(true);
          }
          living.push({ address, byteLength });
        }
        for (const { address } of living) allocator.free(address);
        expect(allocator.allocate(LIMIT - START)).toBe(START);
      }),
    );
  });

  it('says no when nothing fits, and uses the first gap that does', () => {
    const allocator = new Allocator(START, LIMIT);
    const [a, b, c] = [4, 2, 2].map((lines) => allocator.allocate(lines * ALIGNMENT)!);
    expect(allocator.allocate(LIMIT)).toBeUndefined();
    allocator.free(a!);
    allocator.free(c!);
    expect(allocator.allocate(ALIGNMENT)).toBe(a);
    expect(allocator.allocate(3 * ALIGNMENT)).toBe(a! + ALIGNMENT);
    expect(allocator.end).toBe(c! + 2 * ALIGNMENT);
    allocator.free(b!);
    expect(() => allocator.free(b!)).toThrow(/nothing is allocated/);
  });
});
