/** Kernels that are chosen by size or by what the device offers: whichever runs, the bits are the same. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { create } from 'webgpu';
import { ReferenceBackend } from '../../../../engine/kernels/reference/reference-backend.ts';
import { matmulMatrixCode } from '../../../../engine/kernels/webgpu/ops/matmul-matrix-code.ts';
import { createWebGpuBackend, type WebGpuBackend } from '../../../../engine/kernels/webgpu/webgpu-backend.ts';
import { matrixFormat } from '../../../../engine/kernels/webgpu/weight-formats/index.ts';
import type { Tensor } from '../../../../engine/tensor/tensor.ts';
import { findBitDifference, findMismatch } from '../../../conformance/compare.ts';
import { type Workspace, withWorkspace } from '../../../conformance/workspace.ts';
import { randomValues, randomWeightBytes } from '../../../helpers/arbitraries-kernels.ts';
import { gpuSkipNote, hasGpu } from '../../../helpers/gpu.ts';
import { toleranceOf } from '../../../helpers/tolerances.ts';

interface Sequences {
  readonly numKeys: readonly number[];
  readonly numQueries: readonly number[];
  readonly slidingWindow?: number;
  readonly softCap?: number;
}

/** Attention of sequences whose pages lie one after another. */
function attend(work: Workspace, dtype: 'f32' | 'f16' | 'q8_0', D: number, p: Sequences): Promise<Float32Array> {
  const [NH, NKV, BS] = [4, 2, 16];
  const blocksOf = (n: number): number => Math.ceil(n / BS);
  const maxBlocks = Math.max(...p.numKeys.map(blocksOf));
  const numBlocks = maxBlocks * p.numKeys.length;
  const shape = [numBlocks, NKV, BS, D];
  const [keyCache, valueCache] = [work.zeros(dtype, shape), work.zeros(dtype, shape)];
  const numSlots = numBlocks * BS;
  const [k, v] = [1, 2].map((seed) => work.floats([numSlots, NKV, D], randomValues(seed, numSlots * NKV * D))) as [
    Tensor,
    Tensor,
  ];
  const slotMapping = work.ints(
    [numSlots],
    Int32Array.from({ length: numSlots }, (_, i) => i),
  );
  work.run('writeKv', { k, v, keyCache, valueCache, slotMapping });
  const starts = [0];
  for (const n of p.numQueries) starts.push(starts.at(-1)! + n);
  const T = starts.at(-1)!;
  const out = work.output([T, NH, D]);
  work.run('pagedAttention', {
    q: work.floats([T, NH, D], randomValues(3, T * NH * D, 2)),
    keyCache,
    valueCache,
    blockTables: work.ints(
      [p.numKeys.length, maxBlocks],
      Int32Array.from({ length: numBlocks }, (_, i) => i),
    ),
    queryStartLoc: work.ints([starts.length], starts),
    seqLens: work.ints([p.numKeys.length], [...p.numKeys]),
    scale: 1 / Math.sqrt(D),
    slidingWindow: p.slidingWindow,
    softCap: p.softCap,
    out,
  });
  return work.read(out);
}

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

  it('multiplies in f16 when asked to, or says why not, and only many tokens at a time', async () => {
    const [T, N, K] = [70, 67, 320];
    const half = await createWebGpuBackend({ matmulPrecision: 'f16' });
    const { f16Matmul, subgroupMatrices } = half.features;
    expect(teams.features.f16Matmul).toEqual({ used: false, reason: expect.stringContaining('matmulPrecision') });
    expect(f16Matmul!.used).toBe(half.gpu.features.has('shader-f16'));
    if (half.gpu.adapter.isSoftware) expect(subgroupMatrices?.used ?? false).toBe(false);
    const results = new Map<string, Float32Array>();
    for (const [name, backend] of Object.entries({ half, teams })) {
      await withWorkspace(backend, async (work) => {
        const weight = await work.weight('q4_0', [N, K], randomWeightBytes('q4_0', 1, N * K));
        for (const numTokens of [1, T]) {
          // Beyond f16's range: what is too large becomes the largest number, not infinity.
          const values = randomValues(2, numTokens * K).map((value, i) => (i === 5 ? 1e6 : value));
          const out = work.output([numTokens, N]);
          work.run('matmul', { x: work.floats([numTokens, K], values), weight, out });
          results.set(`${name} ${numTokens}`, await work.read(out));
        }
      });
    }
    // Pages that were computed otherwise are not the same.
    expect(half.kvPageLayout === teams.kvPageLayout).toBe(!f16Matmul!.used);
    await half.close();
    expect(findBitDifference(results.get('half 1')!, results.get('teams 1')!)).toBeUndefined();
    const [actual, expected] = [results.get(`half ${T}`)!, results.get(`teams ${T}`)!];
    expect(actual.every(Number.isFinite)).toBe(true);
    expect(findMismatch(actual.slice(N), expected.slice(N), 5e-3)).toBeUndefined();
  });

  it('is valid WGSL for matrix units of usual sizes, as far as a device that computes nothing can tell', async () => {
    const gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
    const adapter = (await gpu.requestAdapter())!;
    const names = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as GPUFeatureName[];
    const device = await adapter.requestDevice({ requiredFeatures: names });
    for (const dtype of ['f32', 'q4_0', 'q6_k'] as const) {
      for (const size of [8, 16]) {
        const unit = { M: size, N: size, K: size, subgroupSize: 32 };
        const code = matmulMatrixCode({ format: matrixFormat(dtype), hasGroups: true, unit });
        const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
        expect(messages.filter(({ type }) => type === 'error').map(({ message }) => message)).toEqual([]);
      }
    }
    device.destroy();
    await device.lost;
  });

  it.each([
    // Queries of two sequences, one with a long past; a window that begins in the middle of a section; a padding sequence.
    ['f32', 32, { numKeys: [300, 1, 0], numQueries: [1, 1, 1] }],
    ['f16', 64, { numKeys: [130, 257], numQueries: [3, 66], slidingWindow: 100 }],
    ['q8_0', 32, { numKeys: [64, 65], numQueries: [1, 2], softCap: 5 }],
  ] as const)(
    '%s heads of %i: sections side by side and one after the other give the same bits',
    async (dtype, D, p) => {
      const results: Float32Array[] = [];
      for (const maxWorkgroupsToSplit of [0, 1e9]) {
        const backend = await createWebGpuBackend({ sectionSize: 64, maxWorkgroupsToSplit });
        results.push(await withWorkspace(backend, (work) => attend(work, dtype, D, p)));
        await backend.close();
      }
      const reference = new ReferenceBackend();
      const expected = await withWorkspace(reference, (work) => attend(work, dtype, D, p));
      await reference.close();
      expect(findBitDifference(results[0]!, results[1]!)).toBeUndefined();
      expect(findMismatch(results[0]!, expected, toleranceOf('webgpu', 'pagedAttention', dtype))).toBeUndefined();
    },
  );

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
