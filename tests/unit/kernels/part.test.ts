/** Splitting an op among workers: parts cover the work once, and change no bit of the result. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OpArgs, OpName } from '../../../engine/kernels/ops.ts';
import { partEnd, partStart } from '../../../engine/kernels/part.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { REFERENCE_OPS } from '../../../engine/kernels/reference/reference-ops.ts';
import { CASES } from '../../conformance/cases.ts';
import { conformance } from '../../conformance/describe-backend.ts';
import { permutation } from '../../helpers/arbitraries-kernels.ts';

describe('parts', () => {
  it('cover all units once, in shares that differ by at most one', () =>
    fc.assert(
      fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 64 }), (numUnits, count) => {
        let next = 0;
        for (let index = 0; index < count; index++) {
          expect(partStart(numUnits, { index, count })).toBe(next);
          next = partEnd(numUnits, { index, count });
          const share = next - partStart(numUnits, { index, count });
          expect(share === Math.floor(numUnits / count) || share === Math.ceil(numUnits / count)).toBe(true);
        }
        expect(next).toBe(numUnits);
      }),
    ));

  /** Runs every op as `count` workers would, one part after another in a random order. */
  function splitting(count: number): ReferenceBackend {
    const backend = new ReferenceBackend();
    for (const op of Object.keys(REFERENCE_OPS) as OpName[]) {
      const value = (args: OpArgs[typeof op]) => {
        for (const index of permutation(count, count)) {
          (REFERENCE_OPS[op] as (args: OpArgs[typeof op], part: object) => void)(args, { index, count });
        }
      };
      Object.defineProperty(backend, op, { value });
    }
    return backend;
  }

  // A worker that ran before another in place of beside it must not disturb it either.
  it.each(Object.keys(REFERENCE_OPS) as OpName[])('of %s change no bit, in any order', async (op) => {
    const reference = new ReferenceBackend();
    for (const count of [2, 3, 16]) {
      const backend = splitting(count);
      await fc.assert(conformance(CASES[op], { backend, reference, exact: true }), { numRuns: 20 });
      await backend.close();
    }
    await reference.close();
  });
});
