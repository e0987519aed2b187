/** Kernels that are chosen by size or by what the device offers: whichever runs, the bits are the same. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../../../engine/kernels/reference/reference-backend.ts';
import { createWebGpuBackend, type WebGpuBackend } from '../../../../engine/kernels/webgpu/webgpu-backend.ts';
import { findBitDifference, findMismatch } from '../../../conformance/compare.ts';
import { withWorkspace } from '../../../conformance/workspace.ts';
import { randomValues, randomWeightBytes } from '../../../helpers/arbitraries-kernels.ts';
import { gpuSkipNote, hasGpu } from '../../../helpers/gpu.ts';

describe.skipIf(!hasGpu)(`variants of kernels${gpuSkipNote}`, () => {
  let teams: WebGpuBackend;
  let tiles: WebGpuBackend;
  let withoutSubgroups: WebGpuBackend;
  beforeAll(async () => {
    teams = await createWebGpuBackend({ minTokensOfTile: 1e9 });
    tiles = await createWebGpuBackend({ minTokensOfTile: 1 });
    withoutSubgroups = await createWebGpuBackend({ minTokensOfTile: 1e9, subgroups: 'off' });
  });
  afterAll(() => Promise.all([teams, tiles, withoutSubgroups].map((backend) => backend.close())));

  it('says which are in use, and why not more', () => {
    expect(withoutSubgroups.features.subgroups).toEqual({ used: false, reason: "the option subgroups is 'off'" });
    // The software GPU has subgroups of 8, so both variants are tested wherever it is.
    if (teams.gpu.adapter.minSubgroupSize >= 8) expect(teams.features.subgroups).toEqual({ used: true });
  });

  it.each([
    // Rows of fewer groups than lanes, of one each, of an uneven number, and of one more than all.
    ['q4_0', 32 * 3, 65, 3],
    ['q8_0', 32 * 12, 130, 70],
    ['f32', 32 * 32, 7, 66],
    ['q6_k', 32 * 72, 33, 5],
    ['f16', 32 * 65, 3, 2],
  ] as const)('%s rows of %i: teams, tiles and lanes that exchange values add in one order', async (dtype, K, N, T) => {
    const values = randomValues(2, T * K);
    const results: Float32Array[] = [];
    for (const backend of [teams, tiles, withoutSubgroups]) {
      for (const numTokens of [T, 1]) {
        await withWorkspace(backend, async (work) => {
          const weight = await work.weight(dtype, [N, K], randomWeightBytes(dtype, 1, N * K));
          const bias = work.floats([N], randomValues(3, N));
          const out = work.output([numTokens, N]);
          work.run('matmul', { x: work.floats([numTokens, K], values.slice(0, numTokens * K)), weight, bias, out });
          results.push(await work.read(out));
        });
      }
    }
    const [whole] = results as [Float32Array];
    expect(whole.every((value) => Number.isFinite(value) && value !== 0)).toBe(true);
    for (const [i, result] of results.entries()) {
      expect(findBitDifference(result, whole.slice(0, result.length)), `result ${i}`).toBeUndefined();
    }
  });

  it.each([
    [1, 1, 5000],
    [3, 40, 9000],
    // 30 parts, then 11, then 4, then 2, then one.
    [2, 700, 60_000],
  ])('finds the best of %i rows, %i of %i logits, in several rounds', async (numRows, numTop, vocabSize) => {
    const reference = new ReferenceBackend();
    const logits = randomValues(7, numRows * vocabSize, 20);
    // Equals, both zeros, and what is no number.
    for (const [i, value] of [19.999, 19.999, 0, -0, Number.NaN, Number.NEGATIVE_INFINITY].entries()) {
      for (let at = 50 * i; at < logits.length; at += 1777) logits[at] = value;
    }
    const results = [];
    for (const backend of [teams, reference]) {
      results.push(
        await withWorkspace(backend, async (work) => {
          const out = work.output([numRows, numTop, 2]);
          work.run('topLogits', { logits: work.floats([numRows, vocabSize], logits), out });
          return work.read(out);
        }),
      );
    }
    expect(findMismatch(results[0]!, results[1]!, 0)).toBeUndefined();
    await reference.close();
  });

  it('says how many of the best it can find', () => {
    const logits = teams.allocate('f32', [1, 5000], 'scratch');
    const [some, many] = [1024, 1025].map((count) => teams.allocate('f32', [1, count, 2], 'scratch'));
    expect(teams.supports('topLogits', { logits, out: some! })).toBe(true);
    expect(teams.supports('topLogits', { logits, out: many! })).toMatch(/1024/);
    for (const tensor of [logits, some!, many!]) teams.free(tensor);
  });
});
