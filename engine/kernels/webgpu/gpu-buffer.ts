/** The handles behind tensors on a GPU: plain memory, and weights packed for kernels. */
import type { BufferHandle } from '../../tensor/tensor.ts';
import type { MemoryPurpose } from '../kernel-backend.ts';
import type { WeightFormat } from './weight-formats/index.ts';

/** Some rows of a weight in a buffer of their own: a binding may not be larger than the device allows.
 *
 *   | plane 0: numRows rows | padding | plane 1: numRows rows | */
export interface WeightChunk {
  readonly buffer: GPUBuffer;
  readonly byteLength: number;
  readonly firstRow: number;
  readonly numRows: number;
  /** Where each plane begins, in bytes; a multiple of 16. */
  readonly planeStarts: readonly number[];
}

export interface PackedWeight {
  readonly format: WeightFormat;
  readonly rowLength: number;
  readonly chunks: readonly WeightChunk[];
}

export class GpuBuffer implements BufferHandle {
  readonly owner: string;
  /** As the tensor would be stored. */
  readonly byteLength: number;
  readonly purpose: MemoryPurpose;
  readonly contents: GPUBuffer | PackedWeight;
  /** What was uploaded into an integer tensor. No op writes integers, so the host knows them: it checks them before a
   * kernel follows them, and reads them to see how much there is to do. */
  readonly ints: Int32Array | undefined;
  /** Came through `loadWeight`: a vector is then f32, whatever its tensor's dtype. */
  readonly isLoaded: boolean;
  isReleased = false;

  constructor(
    owner: string,
    byteLength: number,
    about: {
      readonly purpose: MemoryPurpose;
      readonly contents: GPUBuffer | PackedWeight;
      readonly isLoaded?: boolean;
      readonly ints?: Int32Array;
    },
  ) {
    this.owner = owner;
    this.byteLength = byteLength;
    this.purpose = about.purpose;
    this.contents = about.contents;
    this.ints = about.ints;
    this.isLoaded = about.isLoaded ?? false;
  }

  /** Everything allocated for it on the GPU. */
  get gpuBuffers(): readonly GPUBuffer[] {
    return 'chunks' in this.contents ? this.contents.chunks.map(({ buffer }) => buffer) : [this.contents];
  }

  get allocatedBytes(): number {
    return this.gpuBuffers.reduce((sum, { size }) => sum + size, 0);
  }
}
