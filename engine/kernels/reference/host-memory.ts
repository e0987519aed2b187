/** Memory of the reference backend, and how its ops look at a tensor's values. Everything lies in ordinary host memory,
 * as the bytes that a file would hold: rows one after another, no packing. Knows nothing of ops or of who allocates. */
import { InvalidArgumentError, UnsupportedError } from '../../errors.ts';
import type { FloatDType } from '../../tensor/dtype.ts';
import type { QuantFormat } from '../../tensor/quant/quant-format.ts';
import { quantFormat } from '../../tensor/quant/quant-registry.ts';
import type { BufferHandle, Tensor } from '../../tensor/tensor.ts';

export const REFERENCE_OWNER = 'reference';

/** One allocation: shared memory from the start, so that worker threads can run the same ops over the same bytes (where a
 * process has none, it has no workers either).
 * Typed-array access to a SharedArrayBuffer costs what it costs in an ArrayBuffer. */
export class HostBuffer implements BufferHandle {
  readonly owner = REFERENCE_OWNER;
  readonly byteLength: number;
  #bytes: Uint8Array | undefined;

  constructor(memory: ArrayBufferLike) {
    this.byteLength = memory.byteLength;
    this.#bytes = new Uint8Array(memory);
  }

  /** @throws InvalidArgumentError after `release`. */
  get bytes(): Uint8Array {
    if (this.#bytes === undefined) throw new InvalidArgumentError('tensor', 'its memory was freed');
    return this.#bytes;
  }

  get isReleased(): boolean {
    return this.#bytes === undefined;
  }

  /** Lets go of the memory, even while somebody still holds a tensor of it. */
  release(): void {
    this.#bytes = undefined;
  }
}

/** All bytes of the buffer that the tensor views. */
export function hostBytes(tensor: Tensor): Uint8Array {
  return (tensor.buffer as HostBuffer).bytes;
}

/** An f32 tensor's values; writing to the array writes to the tensor. */
export function floatsOf(tensor: Tensor): Float32Array {
  return new Float32Array(hostBytes(tensor).buffer, alignedOffset(tensor), tensor.numElements);
}

/** An i32 tensor's values; writing to the array writes to the tensor. */
export function intsOf(tensor: Tensor): Int32Array {
  return new Int32Array(hostBytes(tensor).buffer, alignedOffset(tensor), tensor.numElements);
}

function alignedOffset(tensor: Tensor): number {
  if (tensor.byteOffset % 4 === 0) return tensor.byteOffset;
  throw new InvalidArgumentError('tensor', `${tensor} must start at a multiple of 4 bytes, got ${tensor.byteOffset}`);
}

/** Reads and writes runs of elements of a float tensor as f32 values, whatever its format (law 6).
 * Starts and counts are in elements and must be multiples of the format's quant block: whole rows always are. */
export class FormattedView {
  readonly #bytes: Uint8Array;
  readonly #format: QuantFormat;

  constructor(tensor: Tensor) {
    this.#bytes = hostBytes(tensor).subarray(tensor.byteOffset);
    this.#format = quantFormat(tensor.dtype as FloatDType);
  }

  /** Dequantizes `count` elements from `start` into `target`, from `targetStart`. */
  read(start: number, count: number, target: Float32Array, targetStart = 0): void {
    const { blockSize, bytesPerBlock } = this.#format;
    this.#format.dequantize(this.#bytes, (start / blockSize) * bytesPerBlock, target, targetStart, count / blockSize);
  }

  /** Quantizes `count` values of `source`, from `sourceStart`, into the elements from `start`.
   * @throws UnsupportedError for a format that Quern only reads. */
  write(start: number, count: number, source: Float32Array, sourceStart = 0): void {
    const { dtype, blockSize, bytesPerBlock } = this.#format;
    if (this.#format.quantize === undefined) {
      throw new UnsupportedError(`writing ${dtype}`, 'Quern only reads this format');
    }
    this.#format.quantize(source, sourceStart, this.#bytes, (start / blockSize) * bytesPerBlock, count / blockSize);
  }
}

/** A whole vector (a norm's weight, a bias) as f32 values. */
export function vectorOf(tensor: Tensor): Float32Array {
  const values = new Float32Array(tensor.numElements);
  new FormattedView(tensor).read(0, values.length, values);
  return values;
}
