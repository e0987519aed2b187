/** Every buffer of one GPU backend: who owns it, what it is for, how a tensor becomes a binding. What lies in a weight is
 * `weight-formats/`'s business, how it gets there `load-weight.ts`'s. */
import { InvalidArgumentError, OutOfMemoryError } from '../../errors.ts';
import type { DType } from '../../tensor/dtype.ts';
import { formatShape, numElements, type Shape } from '../../tensor/shape.ts';
import { byteLengthOf } from '../../tensor/storage.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { checkAllocation } from '../check-memory.ts';
import type { MemoryPurpose, MemoryUsage } from '../kernel-backend.ts';
import { BUFFER_USAGE } from './buffer-usage.ts';
import type { CommandRecorder } from './command-recorder.ts';
import { GpuBuffer, type PackedWeight } from './gpu-buffer.ts';
import type { GpuDevice } from './gpu-device.ts';
import type { GpuSlice } from './gpu-kernel.ts';

/** Buffers are a multiple of this long, so that a kernel may read them as vec4s. */
const BUFFER_STEP = 16;

const STORAGE = BUFFER_USAGE.storage | BUFFER_USAGE.copySource | BUFFER_USAGE.copyTarget;

/** A tensor as a kernel sees it: a binding, and the first element's place in it. */
export interface BoundTensor extends GpuSlice {
  /** In words of 4 bytes, from the binding's start. */
  readonly wordOffset: number;
}

export class GpuMemory {
  readonly owner: string;
  readonly #gpu: GpuDevice;
  readonly #recorder: CommandRecorder;
  readonly #buffers = new Set<GpuBuffer>();
  readonly #usage: Record<MemoryPurpose, number> = { weights: 0, kv: 0, scratch: 0 };
  /** The longest buffer and binding, in bytes. */
  readonly maxBufferBytes: number;
  /** The longest buffer for a part of a weight. */
  readonly maxWeightBytes: number;

  /** @param owner  the backend's name
   * @param maxWeightBytes  to split weights into smaller buffers than the device asks for; for tests */
  constructor(owner: string, gpu: GpuDevice, recorder: CommandRecorder, maxWeightBytes = Number.POSITIVE_INFINITY) {
    this.owner = owner;
    this.#gpu = gpu;
    this.#recorder = recorder;
    const { maxBufferSize, maxStorageBufferBindingSize } = gpu.limits;
    const limit = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    this.maxBufferBytes = limit - (limit % BUFFER_STEP);
    this.maxWeightBytes = Math.min(maxWeightBytes, this.maxBufferBytes);
  }

  /** Zero-filled memory.
   * @throws OutOfMemoryError for more than one binding may hold; when the GPU has no room, the next wait throws it */
  allocate(dtype: DType, shape: Shape, purpose: MemoryPurpose): Tensor<GpuBuffer> {
    checkAllocation(dtype, shape, purpose, this.#usage);
    const byteLength = byteLengthOf(dtype, shape);
    const contents = this.newGpuBuffer(byteLength, `${purpose} ${dtype}${formatShape(shape)}`);
    const ints = dtype === 'i32' ? { ints: new Int32Array(numElements(shape)) } : {};
    return new Tensor(dtype, shape, this.#own(new GpuBuffer(this.owner, byteLength, { purpose, contents, ...ints })));
  }

  /** A handle for what `newGpuBuffer` made: packed rows, or a vector that is f32 whatever it was stored as. */
  adoptWeight(byteLength: number, contents: GPUBuffer | PackedWeight): GpuBuffer {
    return this.#own(new GpuBuffer(this.owner, byteLength, { purpose: 'weights', contents, isLoaded: true }));
  }

  /** A buffer of at least so many bytes that nobody owns yet. */
  newGpuBuffer(byteLength: number, what: string): GPUBuffer {
    const size = Math.max(BUFFER_STEP, Math.ceil(byteLength / BUFFER_STEP) * BUFFER_STEP);
    if (size > this.maxBufferBytes) {
      const advice = `this GPU binds at most ${this.maxBufferBytes} bytes at once; use fewer KV blocks or smaller batches`;
      throw new OutOfMemoryError(what, byteLength, advice);
    }
    return this.#gpu.check(what, () => this.#gpu.device.createBuffer({ label: what, size, usage: STORAGE }), size);
  }

  /** @throws InvalidArgumentError for a view of a part, or a tensor that is not this backend's */
  free(tensor: Tensor): void {
    const buffer = this.expectOwned('free tensor', tensor);
    if (tensor.byteOffset !== 0 || tensor.byteLength !== buffer.byteLength) {
      throw new InvalidArgumentError('free tensor', `${tensor} is a view of a part; free the tensor it was cut from`);
    }
    this.release(buffer);
  }

  /** Does nothing for a buffer that is released already. */
  release(buffer: GpuBuffer): void {
    if (!this.#buffers.delete(buffer)) return;
    buffer.isReleased = true;
    this.#usage[buffer.purpose] -= buffer.allocatedBytes;
    for (const gpuBuffer of buffer.gpuBuffers) {
      this.#recorder.forget(gpuBuffer);
      gpuBuffer.destroy();
    }
  }

  releaseAll(): void {
    for (const buffer of [...this.#buffers]) this.release(buffer);
  }

  /** Allocations that are not released yet. */
  get numBuffers(): number {
    return this.#buffers.size;
  }

  get usage(): MemoryUsage {
    return { ...this.#usage };
  }

  /** Whether `expectOwned` has nothing to say. */
  owns({ buffer, byteOffset, byteLength }: Tensor): boolean {
    return (
      this.#buffers.has(buffer as GpuBuffer) &&
      Number.isSafeInteger(byteOffset) &&
      byteOffset >= 0 &&
      byteOffset + byteLength <= buffer.byteLength
    );
  }

  /** @throws InvalidArgumentError for a tensor that another backend owns, that was freed, or that leaves its buffer */
  expectOwned(what: string, tensor: Tensor): GpuBuffer {
    const buffer = tensor.buffer as GpuBuffer;
    if (!this.#buffers.has(buffer)) {
      throw new InvalidArgumentError(what, `${tensor} ${this.#whyNotOwned(tensor)}`, { owner: buffer.owner });
    }
    if (!this.owns(tensor)) {
      const { byteOffset, byteLength } = tensor;
      const rule = `bytes ${byteOffset} to ${byteOffset + byteLength} leave its buffer of ${buffer.byteLength}`;
      throw new InvalidArgumentError(what, `${tensor}: ${rule}`);
    }
    return buffer;
  }

  /** The GPU buffer of a tensor that is not a packed weight, and where the tensor begins in it. */
  plainBuffer(what: string, tensor: Tensor): GPUBuffer {
    const { contents } = this.expectOwned(what, tensor);
    if ('chunks' in contents) throw new InvalidArgumentError(what, `${tensor} is a weight, packed for kernels only`);
    return contents;
  }

  /** A tensor as a binding. Bindings begin at multiples of the device's alignment, tensors anywhere. */
  bind(tensor: Tensor): BoundTensor {
    return this.bindRange(this.plainBuffer('argument', tensor), tensor.byteOffset, tensor.byteLength);
  }

  bindRange(buffer: GPUBuffer, start: number, byteLength: number): BoundTensor {
    const alignment = Math.max(BUFFER_STEP, this.#gpu.limits.minStorageBufferOffsetAlignment);
    // A tensor of no elements may begin where its buffer ends; its binding must not.
    const byteOffset = byteLength === 0 ? 0 : start - (start % alignment);
    const end = Math.ceil((start + byteLength) / BUFFER_STEP) * BUFFER_STEP;
    return {
      buffer,
      byteOffset,
      byteLength: Math.max(BUFFER_STEP, byteLength === 0 ? 0 : end - byteOffset),
      wordOffset: Math.floor((start - byteOffset) / 4),
    };
  }

  /** What was uploaded into an integer tensor. */
  intsOf(tensor: Tensor): Int32Array {
    const start = tensor.byteOffset / 4;
    return this.expectOwned('integers', tensor).ints!.subarray(start, start + tensor.numElements);
  }

  #own(buffer: GpuBuffer): GpuBuffer {
    this.#buffers.add(buffer);
    this.#usage[buffer.purpose] += buffer.allocatedBytes;
    return buffer;
  }

  #whyNotOwned({ buffer }: Tensor): string {
    if (!(buffer instanceof GpuBuffer) || buffer.owner !== this.owner) {
      return `belongs to the backend '${buffer.owner}', not to '${this.owner}'`;
    }
    return buffer.isReleased ? 'was freed' : `belongs to another ${this.owner} backend`;
  }
}
