/** What the WebGPU backend does beyond the ops themselves: splitting, conflicts within a buffer, and bad days. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  DeviceError,
  DeviceLostError,
  EngineClosedError,
  InvalidArgumentError,
  OutOfMemoryError,
  UnsupportedError,
} from '../../../../engine/errors.ts';
import { findAdapter } from '../../../../engine/kernels/webgpu/gpu-adapter.ts';
import { GpuDevice } from '../../../../engine/kernels/webgpu/gpu-device.ts';
import { checkSubgroups, runSubgroupTest } from '../../../../engine/kernels/webgpu/lane-sums.ts';
import { WebGpuBackend } from '../../../../engine/kernels/webgpu/webgpu-backend.ts';
import type { FloatDType } from '../../../../engine/tensor/dtype.ts';
import type { Tensor } from '../../../../engine/tensor/tensor.ts';
import { withWorkspace } from '../../../conformance/workspace.ts';
import { randomInts, randomValues, randomWeightBytes } from '../../../helpers/arbitraries-kernels.ts';
import { gpuSkipNote, hasGpu } from '../../../helpers/gpu.ts';
import { rejection } from '../../../helpers/rejection.ts';

async function openDevice(): Promise<GpuDevice> {
  const found = await findAdapter();
  if (typeof found === 'string') throw new Error(found);
  return GpuDevice.open(found.gpu, found.adapter);
}

describe.skipIf(!hasGpu)(`WebGpuBackend${gpuSkipNote}`, () => {
  let gpu: GpuDevice;
  let backend: WebGpuBackend;
  beforeEach(async () => {
    gpu = await openDevice();
    backend = new WebGpuBackend(gpu);
  });
  afterEach(() => backend.close());

  const floats = (shape: readonly number[], values: Float32Array): Tensor => {
    const tensor = backend.allocate('f32', shape, 'scratch');
    backend.upload(tensor, values);
    return tensor;
  };

  it.each(['f32', 'f16', 'q4_0', 'q6_k'] as const)(
    'splits a %s weight over small buffers and computes the same bits',
    async (dtype: FloatDType) => {
      const split = new WebGpuBackend(await openDevice(), { maxWeightBytes: 8192 });
      const [N, K, T] = [70, 256, 3];
      const results = [];
      for (const each of [backend, split]) {
        results.push(
          await withWorkspace(each, async (work) => {
            const weight = await work.weight(dtype, [N, K], randomWeightBytes(dtype, 1, N * K));
            const bias = work.floats([N], randomValues(4, N));
            const out = work.output([T, N]);
            work.run('matmul', { x: work.floats([T, K], randomValues(2, T * K)), weight, bias, out });
            const rows = work.output([20, K]);
            work.run('embed', { tokenIds: work.ints([20], randomInts(3, 20, N)), weight, out: rows });
            // A part that begins and ends inside of buffers.
            const some = work.output([T, 31]);
            const x = work.floats([T, K], randomValues(2, T * K));
            work.run('matmul', { x, weight: weight.slice(17, 48), bias: bias.slice(17, 48), out: some });
            return Promise.all([out, rows, some].map((tensor) => work.read(tensor)));
          }),
        );
      }
      await split.close();
      expect(results[1]).toEqual(results[0]);
      const [whole, , some] = results[1]!;
      expect(some!.subarray(0, 31)).toEqual(whole!.subarray(17, 48));
    },
  );

  it('reads rows of a buffer while it writes others of the same', async () => {
    const all = floats(
      [4, 3],
      Float32Array.from({ length: 12 }, (_, i) => i),
    );
    const rows = backend.allocate('i32', [2], 'scratch');
    backend.upload(rows, Int32Array.of(1, 0));
    backend.gatherRows({ x: all.slice(0, 2), rows, out: all.slice(2, 4) });
    backend.add({ a: all.slice(0, 2), b: all.slice(2, 4), out: all.slice(2, 4) });
    expect([...(await backend.download(all))]).toEqual([0, 1, 2, 3, 4, 5, 3, 5, 7, 3, 5, 7]);
  });

  it('keeps ops, uploads and reads in order', async () => {
    const a = floats([1, 4], Float32Array.of(1, 2, 3, 4));
    backend.add({ a, b: a, out: a });
    const before = backend.download(a);
    backend.upload(a, Float32Array.of(10, 20, 30, 40));
    backend.add({ a, b: a, out: a });
    expect([...(await before)]).toEqual([2, 4, 6, 8]);
    expect([...(await backend.download(a))]).toEqual([20, 40, 60, 80]);
  });

  it('copies and writes pages that are not whole words', async () => {
    const page = { minLength: 6, maxLength: 6 };
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array(page),
        fc.uint8Array(page),
        fc.integer({ min: 0, max: 2 }),
        async (first, second, target) => {
          await withWorkspace(backend, async (work) => {
            // Three f16 values: 6 bytes a page.
            const [keyCache, valueCache] = [work.zeros('f16', [3, 1, 1, 3]), work.zeros('f16', [3, 1, 1, 3])];
            backend.writeBytes(keyCache, 0, first);
            backend.writeBytes(keyCache, 6, second);
            work.run('copyBlocks', { keyCache, valueCache, copies: work.ints([1, 2], [1, target]) });
            const actual = new Uint8Array(18);
            await backend.readBytes(keyCache, 0, actual);
            const expected = new Uint8Array([...first, ...second, 0, 0, 0, 0, 0, 0]);
            expected.set(second, 6 * target);
            expect(actual).toEqual(expected);
          });
        },
      ),
      { numRuns: 10 },
    );
  });

  it('refuses indices that lead nowhere, before a kernel follows them', async () => {
    const weight = await backend.loadWeight('f32', [4, 8], async () => {});
    const tokenIds = backend.allocate('i32', [2], 'scratch');
    const out = backend.allocate('f32', [2, 8], 'scratch');
    backend.upload(tokenIds, Int32Array.of(3, 4));
    expect(() => backend.embed({ tokenIds, weight, out })).toThrow('embed tokenIds[1]: must be from 0 to 3, got 4');
    expect(() => backend.gatherRows({ x: out, rows: tokenIds, out })).toThrow(InvalidArgumentError);
  });

  it('says no to memory that no binding can hold', () => {
    const numElements = gpu.limits.maxStorageBufferBindingSize;
    expect(() => backend.allocate('f32', [numElements], 'kv')).toThrow(OutOfMemoryError);
    expect(backend.memoryUsage()).toEqual({ weights: 0, kv: 0, scratch: 0 });
  });

  it('refuses to read a packed weight, and f16 that was not loaded', async () => {
    const weight = await backend.loadWeight('f32', [4, 8], async () => {});
    await expect(backend.download(weight)).rejects.toThrow(UnsupportedError);
    const x = backend.allocate('f32', [1, 8], 'scratch');
    const out = backend.allocate('f32', [1, 4], 'scratch');
    const notLoaded = backend.allocate('f16', [4, 8], 'weights');
    expect(() => backend.matmul({ x, weight: notLoaded, out })).toThrow(UnsupportedError);
    expect(backend.supports('matmul', { x, weight: notLoaded, out })).toMatch(/loadWeight/);
    expect(backend.supports('matmul', { x, weight, out })).toBe(true);
  });

  it('fails everything with a DeviceLostError once the device is gone, and closes all the same', async () => {
    const a = floats([1, 4], Float32Array.of(1, 2, 3, 4));
    backend.add({ a, b: a, out: a });
    const reading = backend.download(a);
    gpu.device.destroy();
    await reading.catch((error) => expect(error).toBeInstanceOf(DeviceLostError));
    await gpu.device.lost;
    expect(() => backend.add({ a, b: a, out: a })).toThrow(DeviceLostError);
    await expect(backend.download(a)).rejects.toThrow(DeviceLostError);
    await expect(backend.sync()).rejects.toThrow(DeviceLostError);
    await expect(backend.loadWeight('f32', [1, 32], async () => {})).rejects.toThrow(DeviceLostError);
    await backend.close();
    await expect(backend.sync()).rejects.toThrow(EngineClosedError);
  });

  it('reports a command that the driver refuses, once', async () => {
    const tooSmall = gpu.device.createBuffer({ size: 4, usage: 8 });
    gpu.check('a test', () => gpu.device.queue.writeBuffer(tooSmall, 0, new Uint8Array(64)));
    await expect(backend.sync()).rejects.toThrow(DeviceError);
    await backend.sync();
  });

  it('says that the GPU has no room, once it is waited for, and goes on', async () => {
    // No software GPU runs out of memory before the machine does, so the driver's answer is made up.
    class GPUOutOfMemoryError {
      readonly message = 'no room';
    }
    const { device } = gpu;
    const popErrorScope = device.popErrorScope.bind(device);
    device.popErrorScope = async () => (await popErrorScope()) ?? (new GPUOutOfMemoryError() as GPUError);
    const tensor = backend.allocate('f32', [4], 'kv');
    device.popErrorScope = popErrorScope;
    const error = await rejection(backend.sync());
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({ message: expect.stringContaining('kv f32[4]'), details: { bytes: 16 } });
    backend.free(tensor);
    await backend.sync();
    expect(backend.memoryUsage().kv).toBe(0);
  });

  it('uses subgroups only where a sum over them is right', async () => {
    const { span, state } = await checkSubgroups(gpu);
    const { minSubgroupSize } = gpu.adapter;
    const problem = gpu.features.has('subgroups') ? await runSubgroupTest(gpu, 8) : 'none';
    expect(state.used).toBe(minSubgroupSize >= 8 && problem === undefined);
    expect(span).toBe(state.used ? (minSubgroupSize >= 32 ? 32 : 8) : 0);
    // Lanes of a team lie in several subgroups here: the test must notice.
    if (minSubgroupSize === 8) expect(await runSubgroupTest(gpu, 32)).toMatch(/gave/);
    // Whatever the test found, it left the device working.
    await backend.sync();
  });
});
