/** What a backend must offer. Ops run in the order they are called and return nothing; only `download` and `sync`
 * are asynchronous, so that CPU and GPU share one contract. Kernels see tensors, never files or sequences. */
import type { DType, FloatDType } from '../tensor/dtype.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { OpArgs, OpName } from './ops.ts';

/** What an allocation is for, so that `memoryUsage` can tell (law 7). */
export type MemoryPurpose = 'weights' | 'kv' | 'scratch';

export type MemoryUsage = Readonly<Record<MemoryPurpose, number>>;

/** Fills `target` with a tensor's stored bytes from `byteOffset`. Called for consecutive ranges. */
export type ReadRange = (byteOffset: number, target: Uint8Array) => Promise<void>;

/** The ops, each with the meaning that `ops.ts` gives it.
 * @throws ShapeError when shapes do not fit, UnsupportedError for a dtype the backend lacks. */
export type KernelOps = { readonly [Name in OpName]: (args: OpArgs[Name]) => void };

export interface KernelBackend extends KernelOps {
  readonly name: string;

  /** `true`, or a sentence saying why this backend cannot run the op on these arguments. */
  supports<Name extends OpName>(op: Name, args: OpArgs[Name]): true | string;

  /** Zero-filled memory of the backend.
   * @throws OutOfMemoryError */
  allocate(dtype: DType, shape: Shape, purpose: MemoryPurpose): Tensor;

  /** Takes in a weight from its stored bytes, a range at a time; may repack it into a layout of its own. */
  loadWeight(dtype: FloatDType, shape: Shape, read: ReadRange): Promise<Tensor>;

  /** Copies host values into a tensor's first elements, in op order. */
  upload(tensor: Tensor, values: Float32Array | Int32Array): void;

  /** Resolves to the values of an f32 tensor, after every op called before. */
  download(tensor: Tensor): Promise<Float32Array>;

  /** Resolves when every op called before has run. */
  sync(): Promise<void>;

  /** Gives back the memory of one `allocate` or `loadWeight`. The tensor and its views are dead afterwards. */
  free(tensor: Tensor): void;

  memoryUsage(): MemoryUsage;

  /** Frees everything that is left. Safe to call twice. */
  close(): Promise<void>;
}
