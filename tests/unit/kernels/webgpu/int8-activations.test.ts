/** Matmuls of few tokens with activations of 8 bits: exact where rounding loses nothing, within a named tolerance elsewhere. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../../../engine/kernels/reference/reference-backend.ts';
import { createWebGpuBackend, type WebGpuBackend } from '../../../../engine/kernels/webgpu/webgpu-backend.ts';
import type { FloatDType } from '../../../../engine/tensor/dtype.ts';
import { findBitDifference, findMismatch } from '../../../conformance/compare.ts';
import { withWorkspace } from '../../../conformance/workspace.ts';
import { randomInts, randomValues, randomWeightBytes } from '../../../helpers/arbitraries-kernels.ts';
import { gpuSkipNote, hasGpu } from '../../../helpers/gpu.ts';
import { INT8_ACTIVATIONS_TOLERANCE, toleranceOf } from '../../../helpers/tolerances.ts';

type Backend = WebGpuBackend | ReferenceBackend;

const TYPES = ['q8_0', 'q4_0', 'q4_k'] as const;

const probe = hasGpu ? await createWebGpuBackend({ matvecPrecision: 'int8' }) : undefined;
const state = probe?.features.int8Matvec;
await probe?.close();
const note = state?.used === false ? ` [skipped: ${state.reason}]` : gpuSkipNote;

describe.skipIf(state?.used !== true)(`activations of 8 bits${note}`, () => {
  let int8: WebGpuBackend;
  let other: WebGpuBackend;
  let plain: WebGpuBackend;
  let reference: ReferenceBackend;
  beforeAll(async () => {
    const matvecPrecision = 'int8';
    int8 = await createWebGpuBackend({ matvecPrecision });
    other = await createWebGpuBackend({ matvecPrecision, subgroups: 'off', maxWeightBytes: 8192 });
    plain = await createWebGpuBackend();
    reference = new ReferenceBackend();
  });
  afterAll(() => Promise.all([int8, other, plain, reference].map((backend) => backend.close())));

  const [N, K] = [67, 768];
  const multiply = (backend: Backend, dtype: FloatDType, x: Float32Array): Promise<Float32Array> =>
    withWorkspace(backend, async (work) => {
      const T = x.length / K;
      const weight = await work.weight(dtype, [N, K], randomWeightBytes(dtype, 1, N * K));
      const bias = work.floats([N], randomValues(3, N));
      const out = work.output([T, N]);
      work.run('matmul', { x: work.floats([T, K], x), weight, bias, out });
      return work.read(out);
    });

  /** Whole numbers of which one in 32 is 127, times a power of two: nothing is left to round. */
  const levels = (numTokens: number): Float32Array =>
    Float32Array.from(
      randomInts(5, numTokens * K, 255),
      (n, i) => (i % 32 === 7 ? 127 : n - 127) * 2 ** ((i >> 5) & 3),
    );

  it.each(TYPES)('are exact for %s when they are whole levels', async (dtype) => {
    const [actual, expected] = [await multiply(int8, dtype, levels(3)), await multiply(reference, dtype, levels(3))];
    expect(findMismatch(actual, expected, toleranceOf('webgpu', 'matmul', dtype))).toBeUndefined();
  });

  it.each(TYPES)('are near enough for %s when they are not', async (dtype) => {
    for (const numTokens of [1, 4, 23]) {
      const x = randomValues(2, numTokens * K);
      const [actual, expected] = [await multiply(int8, dtype, x), await multiply(reference, dtype, x)];
      expect(findMismatch(actual, expected, INT8_ACTIVATIONS_TOLERANCE)).toBeUndefined();
      expect(findMismatch(actual, expected, 1e-5)).toBeDefined();
    }
  });

  it.each(TYPES)(
    'give %s the same bits alone and among others, with or without subgroups, in one buffer or several',
    async (dtype) => {
      const x = randomValues(2, 5 * K);
      const together = await multiply(int8, dtype, x);
      for (const backend of [int8, other]) {
        expect(findBitDifference(await multiply(backend, dtype, x), together)).toBeUndefined();
        for (const token of [0, 4]) {
          const alone = await multiply(backend, dtype, x.slice(token * K, (token + 1) * K));
          expect(findBitDifference(alone, together.slice(token * N, (token + 1) * N))).toBeUndefined();
        }
      }
    },
  );

  it('serve gated layers and residuals too', async () => {
    const run = (backend: Backend): Promise<Float32Array> =>
      withWorkspace(backend, async (work) => {
        const [gateWeight, upWeight] = [
          await work.weight('q4_0', [K, K], randomWeightBytes('q4_0', 1, K * K)),
          await work.weight('q8_0', [K, K], randomWeightBytes('q8_0', 2, K * K)),
        ];
        const downWeight = await work.weight('q8_0', [N, K], randomWeightBytes('q8_0', 3, N * K));
        const [hidden, out] = [work.output([2, K]), work.floats([2, N], randomValues(4, 2 * N))];
        work.run('gatedMatmul', {
          x: work.floats([2, K], levels(2)),
          gateWeight,
          upWeight,
          activation: 'silu',
          out: hidden,
        });
        work.run('matmul', { x: hidden, weight: downWeight, residual: out, out });
        return work.read(out);
      });
    expect(findMismatch(await run(int8), await run(reference), INT8_ACTIVATIONS_TOLERANCE)).toBeUndefined();
  });

  it('are for few tokens and formats of whole numbers; all else stays as it is', async () => {
    for (const [dtype, numTokens] of [
      ['f16', 1],
      ['q6_k', 2],
      ['q4_0', 24],
    ] as const) {
      const x = randomValues(2, numTokens * K);
      expect(findBitDifference(await multiply(int8, dtype, x), await multiply(plain, dtype, x))).toBeUndefined();
    }
  });

  it('hide nothing that is no number, and need not be large', async () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const x = randomValues(2, 2 * K);
      x[K + 40] = bad;
      const out = await multiply(int8, 'q4_0', x);
      expect(out.slice(0, N).every(Number.isFinite)).toBe(true);
      expect(out.slice(N).some(Number.isFinite)).toBe(false);
    }
    const zeros = await multiply(int8, 'q8_0', new Float32Array(K));
    expect(findBitDifference(zeros, await multiply(reference, 'q8_0', new Float32Array(K)))).toBeUndefined();
    const tiny = await multiply(int8, 'q8_0', new Float32Array(K).fill(1e-38));
    expect(tiny.every(Number.isFinite)).toBe(true);
  });

  it('are off unless asked for, and their pages are not the pages of others', () => {
    expect(plain.features.int8Matvec).toEqual({ used: false, reason: expect.stringContaining('matvecPrecision') });
    expect(int8.kvPageLayout).not.toBe(plain.kvPageLayout);
  });
});
