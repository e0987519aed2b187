/** What a GPU's memory really gives: the speed of copying from one buffer to another. Kernels that do little but read are
 * measured against it. */
import { BUFFER_USAGE } from './buffer-usage.ts';
import type { GpuDevice } from './gpu-device.ts';

/** Larger than the caches of any GPU. */
const COPY_BYTES = 256 * 1024 * 1024;

/** A repetition takes about so long, so that submitting counts for nothing. */
const TARGET_MS = 50;
const REPETITIONS = 7;

/** @param maxBytes  of each buffer; software that plays a GPU takes long for many
 * @returns bytes read and written per second, in the best of some repetitions
 * @throws OutOfMemoryError, DeviceLostError */
export async function measureCopyBandwidth(gpu: GpuDevice, maxBytes = COPY_BYTES): Promise<number> {
  const byteLength = Math.min(maxBytes, gpu.limits.maxBufferSize);
  const { device } = gpu;
  const usage = BUFFER_USAGE.copySource | BUFFER_USAGE.copyTarget;
  const newBuffer = (): GPUBuffer =>
    gpu.check('a buffer to copy', () => device.createBuffer({ size: byteLength, usage }), byteLength);
  const [from, to] = [newBuffer(), newBuffer()];
  const msOf = async (count: number): Promise<number> => {
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(from, 0, to, 0, byteLength);
      device.queue.submit([encoder.finish()]);
    }
    await gpu.finish();
    return performance.now() - start;
  };
  try {
    await msOf(1);
    const count = Math.max(1, Math.min(1000, Math.round(TARGET_MS / (await msOf(1)))));
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < REPETITIONS; i++) best = Math.min(best, (await msOf(count)) / count);
    return (2 * byteLength * 1000) / best;
  } finally {
    from.destroy();
    to.destroy();
  }
}
