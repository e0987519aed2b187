/** The kernels as plain JavaScript against the reference: every op and format, without gpu.js and without a GPU. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../../engine/errors.ts';
import type { OpName } from '../../../../engine/kernels/ops.ts';
import { ReferenceBackend } from '../../../../engine/kernels/reference/reference-backend.ts';
import { CASES } from '../../../conformance/cases.ts';
import { conformance } from '../../../conformance/describe-backend.ts';
import { attentionInvariance, matmulBatchInvariance } from '../../../conformance/invariance.ts';
import { withWorkspace } from '../../../conformance/workspace.ts';
import { randomValues } from '../../../helpers/arbitraries-kernels.ts';
import { PlainKernelBackend } from '../../../helpers/plain-kernels.ts';

const backend = new PlainKernelBackend();
const reference = new ReferenceBackend();

afterAll(async () => {
  await backend.close();
  await reference.close();
});

const WITHOUT_KERNEL: readonly OpName[] = ['softmaxSums'];

describe.each((Object.keys(CASES) as OpName[]).filter((op) => !WITHOUT_KERNEL.includes(op)))('%s', (op) => {
  it('agrees with the reference', async () => {
    await fc.assert(conformance(CASES[op], { backend, reference, exact: false }));
  });
});

it('matmul gives a row the same bits alone and in a batch', async () => {
  await fc.assert(matmulBatchInvariance(backend));
});

it('pagedAttention gives the same bits whatever the batch, chunks, pages and block size', async () => {
  await fc.assert(attentionInvariance(backend));
});

it('refuses indices that lead out of what they index, before anything runs', async () => {
  await withWorkspace(backend, async (work) => {
    const x = work.floats([2, 4], randomValues(1, 8));
    const out = work.output([1, 4]);
    backend.target.kernels.length = 0;
    expect(() => backend.gatherRows({ x, rows: work.ints([1], [2]), out })).toThrow(InvalidArgumentError);
    expect(() => backend.gatherRows({ x, rows: work.ints([1], [-1]), out })).toThrow(/rows\[0\]/);
    expect(backend.target.kernels).toEqual([]);
  });
});

it('refuses slots that its kernels would divide wrongly', async () => {
  await withWorkspace(backend, async (work) => {
    const slotMapping = work.ints([1], [0]);
    const small = { k: work.zeros('f32', [1, 1, 1]), v: work.zeros('f32', [1, 1, 1]), slotMapping };
    const [keyCache, valueCache] = [0, 1].map(() => work.zeros('f32', [2 ** 16 + 1, 1, 16, 1]));
    expect(() => backend.writeKv({ ...small, keyCache: keyCache!, valueCache: valueCache! })).toThrow(/KV slots/);
  });
});
