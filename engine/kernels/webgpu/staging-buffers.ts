/** Buffers that the host can map, through which results come back. They are kept for the next read. */
import { BUFFER_USAGE, MAP_MODE_READ } from './buffer-usage.ts';
import type { GpuDevice } from './gpu-device.ts';
import { askPatiently } from './polling.ts';

/** What is kept is at most so much; a larger read pays for its own buffer. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;

export class StagingBuffer {
  readonly buffer: GPUBuffer;

  constructor(buffer: GPUBuffer) {
    this.buffer = buffer;
  }

  /** Waits until what was copied here has arrived, and fills `target` with it from `offset`. */
  async read(byteLength: number, offset: number, target: Uint8Array): Promise<void> {
    await askPatiently(() => this.buffer.mapAsync(MAP_MODE_READ, 0, byteLength));
    target.set(new Uint8Array(this.buffer.getMappedRange(0, byteLength), offset, target.byteLength));
    this.buffer.unmap();
  }
}

export class StagingBuffers {
  readonly #gpu: GpuDevice;
  #kept: StagingBuffer[] = [];
  #keptBytes = 0;

  constructor(gpu: GpuDevice) {
    this.#gpu = gpu;
  }

  /** A buffer of at least so many bytes, for one read. */
  take(byteLength: number): StagingBuffer {
    const index = this.#kept.findIndex(({ buffer }) => buffer.size >= byteLength);
    if (index !== -1) {
      const [staging] = this.#kept.splice(index, 1);
      this.#keptBytes -= staging!.buffer.size;
      return staging!;
    }
    const size = Math.max(1024, 2 ** Math.ceil(Math.log2(byteLength)));
    const usage = BUFFER_USAGE.mapRead | BUFFER_USAGE.copyTarget;
    const buffer = this.#gpu.check(
      'a buffer to read results through',
      () => this.#gpu.device.createBuffer({ label: 'staging', size, usage }),
      size,
    );
    return new StagingBuffer(buffer);
  }

  giveBack(staging: StagingBuffer): void {
    if (this.#keptBytes + staging.buffer.size > MAX_KEPT_BYTES) {
      staging.buffer.destroy();
      return;
    }
    this.#keptBytes += staging.buffer.size;
    this.#kept.push(staging);
    this.#kept.sort((a, b) => a.buffer.size - b.buffer.size);
  }

  close(): void {
    for (const { buffer } of this.#kept.splice(0)) buffer.destroy();
    this.#keptBytes = 0;
  }
}
