/** The gpujs backend, where there is a GPU or software that plays one. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGpujsBackend } from '../../engine/kernels/gpujs/gpujs-backend.ts';
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import { ReferenceBackend } from '../../engine/kernels/reference/reference-backend.ts';
import { quantFormat } from '../../engine/tensor/quant/quant-registry.ts';
import { randomValues } from '../helpers/arbitraries-kernels.ts';
import { gpuSkipNote, hasGpu } from '../helpers/gpu.ts';
import { CASES } from './cases.ts';
import { findMismatch } from './compare.ts';
import { conformance, describeBackend } from './describe-backend.ts';
import { withWorkspace } from './workspace.ts';

describe.skipIf(!hasGpu)(`on a GPU${gpuSkipNote}`, () => {
  describeBackend('gpujs', () => createGpujsBackend(), {
    skip: [{ reason: 'kernels here compute in f32, and it wants more bits', ops: ['softmaxSums'] }],
  });

  it('takes inputs and outputs that are views of one buffer', async () => {
    const results = [await createGpujsBackend(), new ReferenceBackend()].map(async (backend) => {
      const values = await withWorkspace(backend, async (work) => {
        const all = work.floats([4, 3, 5], randomValues(1, 60));
        const [a, b, c, d] = [0, 1, 2, 3].map((i) => all.slice(i, i + 1).reshape([3, 5]));
        work.run('gatherRows', { x: a!, rows: work.ints([3], [2, 0, 2]), out: d! });
        work.run('add', { a: a!, b: b!, out: c! });
        work.run('rmsNorm', { x: c!, weight: undefined, eps: 1e-5, out: b! });
        work.run('matmul', {
          x: b!,
          weight: d!,
          bias: a!.slice(0, 1).reshape([5]).slice(1, 4),
          out: all.slice(2, 3).reshape([15]).slice(2, 11).reshape([3, 3]),
        });
        return work.read(all);
      });
      await backend.close();
      return values;
    });
    expect(findMismatch(await results[0]!, await results[1]!, 1e-5)).toBeUndefined();
  });

  it('rounds every number that lies on or between two of f16 as the reference does', async () => {
    const format = quantFormat('f16');
    const halves = new Float32Array(2 ** 16);
    format.dequantize(new Uint8Array(Uint16Array.from(halves.keys()).buffer), 0, halves, 0, halves.length);
    const finite = halves.filter((value) => Number.isFinite(value)).toSorted();
    // Each value, and what lies half way, and on either side of half way, to the next.
    const values = new Float32Array(4 * finite.length);
    for (const [i, value] of finite.entries()) {
      const middle = (value + (finite[i + 1] ?? 65536)) / 2;
      values.set([value, middle, middle * (1 - 2 ** -20), middle * (1 + 2 ** -20)], 4 * i);
    }
    const [D, T] = [64, values.length / 64];
    const bytes = new Uint8Array(2 * values.length);
    format.quantize!(values, 0, bytes, 0, values.length);
    const backend = await createGpujsBackend();
    const stored = await withWorkspace(backend, async (work) => {
      const k = work.floats([T, 1, D], values);
      const [keyCache, valueCache] = [work.zeros('f16', [T, 1, 1, D]), work.zeros('f16', [T, 1, 1, D])];
      const slotMapping = work.ints([T], new Int32Array(T).keys().toArray());
      work.run('writeKv', { k, v: k, keyCache, valueCache, slotMapping });
      const target = new Uint8Array(bytes.length);
      await backend.readBytes(keyCache, 0, target);
      return target;
    });
    await backend.close();
    const [actual, expected] = [new Uint16Array(stored.buffer), new Uint16Array(bytes.buffer)];
    const wrong = actual.findIndex((half, i) => half !== expected[i] && (half | expected[i]!) !== 0x8000);
    expect(wrong === -1 ? undefined : [values[wrong], actual[wrong], expected[wrong]]).toBeUndefined();
  });

  describe('with buffers of 32 KiB', () => {
    let backend: KernelBackend;
    const reference = new ReferenceBackend();
    beforeAll(async () => {
      backend = await createGpujsBackend({ maxWeightBytes: 32 * 1024 });
    });
    afterAll(async () => {
      await backend?.close();
      await reference.close();
    });

    it.each(['embed', 'matmul'] as const)('%s agrees with the reference on weights in many buffers', async (op) => {
      await fc.assert(conformance(CASES[op], { backend, reference, exact: false }));
    });

    it.each(['f16', 'bf16'] as const)('every pattern of %s is the number that it is', async (dtype) => {
      const patterns = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);
      const rows = (backend: KernelBackend, first: number): Promise<Float32Array> =>
        withWorkspace(backend, async (work) => {
          const weight = await work.weight(dtype, [1024, 64], new Uint8Array(patterns.buffer));
          const tokenIds = work.ints(
            [64],
            Array.from({ length: 64 }, (_, i) => first + i),
          );
          const out = work.output([64, 64]);
          work.run('embed', { tokenIds, weight, out });
          return work.read(out);
        });
      for (let first = 0; first < 1024; first += 64) {
        const [actual, expected] = [await rows(backend, first), await rows(reference, first)];
        // f32 numbers below 2^-126, which only bf16 has here: a GPU may take them for 0.
        const flushed = expected.map((value) => (Math.abs(value) < 2 ** -126 ? 0 : value));
        expect(actual.map((value) => (Math.abs(value) < 2 ** -126 ? 0 : value))).toEqual(flushed);
      }
    });
  });
});
