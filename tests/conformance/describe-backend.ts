/** The conformance suite: what every backend must pass. Each op against the reference on random calls, batch
 * invariance on the backend itself, and the manners of its memory.
 *
 *   describeBackend('wasm', () => createWasmBackend(), { skip: [{ reason: 'not written yet', ops: ['layerNorm'] }] }); */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import type { OpName } from '../../engine/kernels/ops.ts';
import { ReferenceBackend } from '../../engine/kernels/reference/reference-backend.ts';
import type { DType } from '../../engine/tensor/dtype.ts';
import { toleranceOf } from '../helpers/tolerances.ts';
import { CASES } from './cases.ts';
import { findMismatch } from './compare.ts';
import type { ConformanceCase } from './conformance-case.ts';
import { gatedFusion, residualFusion } from './fusion.ts';
import { attentionInvariance, matmulBatchInvariance } from './invariance.ts';
import { describeMemory } from './memory.ts';
import { withWorkspace } from './workspace.ts';

export interface Skip {
  /** Why, for the test's title. */
  readonly reason: string;
  readonly ops: readonly OpName[];
  /** Only these weight or KV dtypes. Absent: the whole op. */
  readonly dtypes?: readonly DType[];
}

export interface DescribeBackendOptions {
  readonly skip?: readonly Skip[];
  /** Every value equal to the reference's, rather than within `toleranceOf`. */
  readonly exact?: boolean;
}

export function describeBackend(
  name: string,
  factory: () => KernelBackend | Promise<KernelBackend>,
  options: DescribeBackendOptions = {},
): void {
  const { skip = [], exact = false } = options;

  describe(`backend ${name}`, () => {
    let backend: KernelBackend;
    let reference: KernelBackend;
    beforeAll(async () => {
      backend = await factory();
      reference = new ReferenceBackend();
    });
    afterAll(async () => {
      await backend?.close();
      await reference.close();
    });

    for (const op of Object.keys(CASES) as OpName[]) {
      testUnlessSkipped([op], `${op} agrees with the reference`, async () => {
        const cases = CASES[op].filter((entry) => isWanted([op], entry.dtype));
        await fc.assert(conformance(cases, { backend, reference, exact }));
      });
    }

    testUnlessSkipped(['matmul'], 'matmul gives a row the same bits alone and in a batch', async () => {
      await fc.assert(matmulBatchInvariance(backend, (dtype) => isWanted(['matmul'], dtype)));
    });

    testUnlessSkipped(['matmul', 'add'], 'matmul with a residual gives the bits of matmul and add', async () => {
      await fc.assert(residualFusion(backend, (dtype) => isWanted(['matmul', 'add'], dtype)));
    });

    const gatedOps: readonly OpName[] = ['gatedMatmul', 'matmul', 'siluMul', 'geluMul'];
    testUnlessSkipped(gatedOps, 'gatedMatmul gives the bits of matmul, matmul and activation', async () => {
      await fc.assert(gatedFusion(backend, (dtype) => isWanted(gatedOps, dtype)));
    });

    const title = 'pagedAttention gives the same bits whatever the batch, chunks, pages and block size';
    testUnlessSkipped(['writeKv', 'pagedAttention'], title, async () => {
      await fc.assert(attentionInvariance(backend, (dtype) => isWanted(['writeKv', 'pagedAttention'], dtype)));
    });

    function skipsOf(ops: readonly OpName[]): readonly Skip[] {
      return skip.filter((entry) => entry.ops.some((op) => ops.includes(op)));
    }

    function isWanted(ops: readonly OpName[], dtype: DType): boolean {
      return !skipsOf(ops).some(({ dtypes }) => dtypes?.includes(dtype) ?? true);
    }

    /** A test of some ops, with what is skipped of them and why in its title. */
    function testUnlessSkipped(ops: readonly OpName[], title: string, body: () => Promise<void>): void {
      const skips = skipsOf(ops);
      const notes = skips.map(({ reason, dtypes }) => ` [skipped${dtypes ? ` for ${dtypes}` : ''}: ${reason}]`);
      it.skipIf(skips.some(({ dtypes }) => dtypes === undefined))(title + notes.join(''), body);
    }

    it('leaves no memory behind', () => {
      expect(backend.memoryUsage()).toEqual({ weights: 0, kv: 0, scratch: 0 });
    });
  });

  describeMemory(name, factory);
}

/** The property that a backend's values are close to the reference's on each case. */
export function conformance(
  cases: fc.Arbitrary<ConformanceCase>,
  backends: { readonly backend: KernelBackend; readonly reference: KernelBackend; readonly exact: boolean },
) {
  const { backend, reference, exact } = backends;
  return fc.asyncProperty(cases, async (conformanceCase) => {
    const { op, dtype, magnitude } = conformanceCase;
    const tolerance = exact ? 0 : toleranceOf(backend.name, op, dtype);
    const actual = await withWorkspace(backend, (work) => conformanceCase.run(work));
    const expected = await withWorkspace(reference, (work) => conformanceCase.run(work));
    const mismatch = findMismatch(actual, expected, tolerance, magnitude);
    if (mismatch !== undefined) throw new Error(`${backend.name} ${op} ${conformanceCase.label}: ${mismatch}`);
  });
}
