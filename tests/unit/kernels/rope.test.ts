/** Rope by what it is for: a rotation, and a product that depends on the distance only. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../engine/errors.ts';
import type { RopeStyle } from '../../../engine/kernels/ops.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { withWorkspace } from '../../conformance/workspace.ts';
import { randomValues, seed } from '../../helpers/arbitraries-kernels.ts';
import { ropeTable } from './rope-table.ts';

const NUM_POSITIONS = 64;
const STYLES: readonly RopeStyle[] = ['interleaved', 'neox'];
const backend = new ReferenceBackend();
afterAll(() => backend.close());

/** Rotates one head's vector to each of the positions. */
function rotate(vector: Float32Array, positions: readonly number[], style: RopeStyle, rotaryDim = vector.length) {
  return withWorkspace(backend, async (work) => {
    const table = ropeTable({ numPositions: NUM_POSITIONS, rotaryDim, theta: 100 });
    const copies = Float32Array.from(positions.flatMap(() => [...vector]));
    const x = work.floats([positions.length, 1, vector.length], copies);
    work.run('rope', {
      x,
      positions: work.ints([positions.length], positions),
      table: work.floats([NUM_POSITIONS, rotaryDim], table),
      style,
    });
    const values = await work.read(x);
    return positions.map((_, t) => values.slice(t * vector.length, (t + 1) * vector.length));
  });
}

/** Indices of a pair's two dimensions. */
function pair(style: RopeStyle, i: number, rotaryDim: number): [number, number] {
  return style === 'neox' ? [i, i + rotaryDim / 2] : [2 * i, 2 * i + 1];
}

const cases = fc.record({
  style: fc.constantFrom(...STYLES),
  numPairs: fc.integer({ min: 1, max: 20 }),
  position: fc.integer({ min: 0, max: NUM_POSITIONS - 1 }),
  seed: seed(),
});

describe('rope', () => {
  it('turns (1, 0) to (cos, sin) of position times frequency', async () => {
    const [interleaved] = await rotate(Float32Array.of(1, 0, 1, 0), [3], 'interleaved');
    const [neox] = await rotate(Float32Array.of(1, 1, 0, 0), [3], 'neox');
    // theta = 100, R = 4: pair 0 turns by 3 radians, pair 1 by 3 * 100^(-2/4) = 0.3.
    const [c0, s0, c1, s1] = [Math.cos(3), Math.sin(3), Math.cos(0.3), Math.sin(0.3)].map(Math.fround);
    expect([...interleaved!]).toEqual([c0, s0, c1, s1]);
    expect([...neox!]).toEqual([c0, c1, s0, s1]);
  });

  it('keeps the length of every pair', () =>
    fc.assert(
      fc.asyncProperty(cases, async ({ style, numPairs, position, seed }) => {
        const vector = randomValues(seed, 2 * numPairs);
        const [rotated] = await rotate(vector, [position], style);
        for (let i = 0; i < numPairs; i++) {
          const [a, b] = pair(style, i, 2 * numPairs);
          expect(Math.hypot(rotated![a]!, rotated![b]!)).toBeCloseTo(Math.hypot(vector[a]!, vector[b]!), 6);
        }
      }),
    ));

  it('makes the product of query and key depend on their distance only', () =>
    fc.assert(
      fc.asyncProperty(cases, fc.nat(20), async ({ style, numPairs, position, seed }, distance) => {
        const later = Math.min(position + distance, NUM_POSITIONS - 1);
        const q = randomValues(seed, 2 * numPairs);
        const k = randomValues(seed + 1, 2 * numPairs);
        const [q0, qLater] = await rotate(q, [later - position, later], style);
        const [k0, kPosition] = await rotate(k, [0, position], style);
        const product = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, d) => sum + value * b[d]!, 0);
        expect(product(qLater!, kPosition!)).toBeCloseTo(product(q0!, k0!), 5);
      }),
    ));

  it('does nothing at position 0', async () => {
    const vector = randomValues(1, 8);
    for (const style of STYLES) expect((await rotate(vector, [0], style))[0]).toEqual(vector);
  });

  it('leaves the dimensions beyond R alone, and pairs within R', async () => {
    for (const style of STYLES) {
      const vector = randomValues(2, 10);
      const [partial] = await rotate(vector, [5], style, 6);
      const [whole] = await rotate(vector.slice(0, 6), [5], style);
      expect(partial!.slice(0, 6)).toEqual(whole);
      expect(partial!.slice(6)).toEqual(vector.slice(6));
    }
  });

  it.each([-1, NUM_POSITIONS])('refuses position %i', async (position) => {
    await expect(rotate(randomValues(3, 4), [0, position], 'neox')).rejects.toThrow(InvalidArgumentError);
    await expect(rotate(randomValues(3, 4), [0, position], 'neox')).rejects.toThrow(/rope positions\[1\]/);
  });
});
