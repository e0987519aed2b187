/** What an op needs in order to become launches of kernels: arrays to name, and somebody who runs them. On a GPU that is
 * `gpujs-backend.ts`; in tests it is plain JavaScript, so that ops and kernels are both checked without a device. */
import type { Tensor } from '../../../tensor/tensor.ts';
import type { KernelSource } from '../kernel-source.ts';
import type { ArrayView, Launch } from '../launch.ts';

/** Rows of a weight that lie in one buffer, in the bytes that the file has, one row after another. */
export interface WeightRows {
  readonly buffer: object;
  /** Where these rows begin in the buffer. */
  readonly byteOffset: number;
  readonly bytesPerRow: number;
  /** Counted in the tensor. */
  readonly firstRow: number;
  readonly numRows: number;
}

/** Formats that kernels dequantize themselves. */
export type KernelFormat = 'f32' | 'f16' | 'bf16' | 'q4_0' | 'q8_0' | 'q4_k' | 'q6_k';

export interface LoadedWeight {
  /** What the bytes are; f32 for formats that were spread out when they were loaded. */
  readonly format: KernelFormat;
  readonly parts: readonly WeightRows[];
}

/** A look that finds nothing but bad integers. */
export function checkInts(target: OpTarget, tensor: Tensor, check: (ints: Int32Array) => void): void {
  target.look([tensor], (ints) => {
    check(ints);
    return [];
  });
}

export interface OpTarget {
  /** The most f32s that an op should have in one scratch array, where it has the choice. */
  readonly maxScratchElements: number;
  /** Runs a kernel after all launched before it. Does nothing for a grid without threads. */
  run(source: KernelSource, launch: Launch): void;
  /** An f32, i32, f16 or q8_0 tensor under other dimensions, of up to three. */
  view(tensor: Tensor, dims: readonly number[]): ArrayView;
  /** The halves of words that a tensor is made of. */
  halves(tensor: Tensor, dims: readonly number[]): ArrayView;
  /** A matrix that may have been loaded as a weight. */
  weight(tensor: Tensor): LoadedWeight;
  /** A norm's weight or a bias, as f32. */
  vector(tensor: Tensor): ArrayView;
  /** Room for what one kernel leaves to the next. Holds until the next op asks for the same name. */
  scratch(name: string, dims: readonly number[]): ArrayView;
  /** How an op looks at what was uploaded into i32 tensors: to refuse bad indices, and to see how much there is to do. A
   * step that is repeated looks again.
   * @returns what `find` says; nothing else of what it saw may reach a launch */
  look(tensors: readonly Tensor[], find: (...ints: Int32Array[]) => readonly number[]): readonly number[];
}
