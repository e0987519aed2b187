/** What a backend must offer. Ops run in the order they are called and return nothing; only `download`,
 * `readBytes` and `sync` are asynchronous, so that CPU and GPU share one contract. Kernels see tensors, never files or sequences. */
import type { DeviceLostError } from '../errors.ts';
import type { DType, FloatDType } from '../tensor/dtype.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { MemoryOutline } from './memory-outline.ts';
import type { OpArgs, OpName } from './ops.ts';

/** What an allocation is for, so that `memoryUsage` can tell (law 7). */
export type MemoryPurpose = 'weights' | 'kv' | 'scratch';

export type MemoryUsage = Readonly<Record<MemoryPurpose, number>>;

/** Fills `target` with a tensor's stored bytes from `byteOffset`. Called for consecutive ranges. */
export type ReadRange = (byteOffset: number, target: Uint8Array) => Promise<void>;

export interface LoadWeightOptions {
  /** Which of the outline's units the weight belongs to (memory-outline.ts). Default: the first. */
  readonly unit?: number;
  /** Has a job done by a worker thread (worker-backends.ts, `runJob`), and resolves to its result. Absent: the calling
   * thread does it. */
  readonly offload?: Offload | undefined;
}

export type Offload = (job: unknown) => Promise<unknown>;

/** The ops, each with the meaning that `ops.ts` gives it.
 * @throws ShapeError when shapes do not fit, UnsupportedError for a dtype the backend lacks. */
export type KernelOps = { readonly [Name in OpName]: (args: OpArgs[Name]) => void };

/** A feature that is in use, or why it is not. */
export type FeatureState = { readonly used: true } | { readonly used: false; readonly reason: string };

export interface KernelBackend extends KernelOps {
  readonly name: string;
  /** What of the machine is really in use, and why not more. */
  readonly features?: Readonly<Record<string, FeatureState>>;

  /** Names how the bytes of a KV page lie and the arithmetic that made them, and changes with either: pages that
   * `readBytes` gave may be written back, by another process too, under an equal name and this one only. */
  readonly kvPageLayout: string;

  /** Set once the device that computes is gone, with all that lay in its memory. Absent where none can be lost. */
  readonly deviceLoss?: DeviceLostError | undefined;

  /** `true`, or a sentence saying why this backend cannot run the op on these arguments. */
  supports<Name extends OpName>(op: Name, args: OpArgs[Name]): true | string;

  /** Runs ops, of which a backend may remember what it made of them. Absent where there is nothing to remember.
   * @param program  whose ops they are
   * @param size  with the program, says which ops on which tensors: calls with equal ones differ in nothing but what lies in
   *   the tensors */
  repeat?(program: object, size: string, ops: () => void): void;

  /** Told all that a model will ask for, before it asks for anything. Only for a backend whose memory comes in several
   * pieces. Without it everything goes to the first piece.
   * @throws OutOfMemoryError when it can never fit */
  arrange?(outline: MemoryOutline): void;

  /** Zero-filled memory of the backend.
   * @param unit  which of the outline's units it belongs to; of no importance for scratch
   * @throws OutOfMemoryError */
  allocate(dtype: DType, shape: Shape, purpose: MemoryPurpose, unit?: number): Tensor;

  /** Takes in a weight from its stored bytes, a range at a time; may repack it into a layout of its own. Several may be
   * loaded at the same time. */
  loadWeight(dtype: FloatDType, shape: Shape, read: ReadRange, options?: LoadWeightOptions): Promise<Tensor>;

  /** Copies host values into a tensor's first elements, in op order. */
  upload(tensor: Tensor, values: Float32Array | Int32Array): void;

  /** Resolves to the values of an f32 tensor, after every op called before. */
  download(tensor: Tensor): Promise<Float32Array>;

  /** The values of an f32 tensor in place, where the backend's memory is the host's: nothing is copied, and an op that
   * writes to the tensor changes them. Wait for `sync` first. */
  view?(tensor: Tensor): Float32Array;

  /** Fills `target` with a KV tensor's bytes from `byteOffset`, as every op called before leaves them; what is called
   * after it does not show. Entry b of the outermost dimension, a page, takes the bytes b * P to (b + 1) * P with
   * P = byteLength / shape[0]; how they lie inside is the backend's own affair.
   * @throws InvalidArgumentError when the range leaves the tensor */
  readBytes(tensor: Tensor, byteOffset: number, target: Uint8Array): Promise<void>;

  /** Puts bytes that `readBytes` gave into a KV tensor, in op order. `source` may change once this returns.
   * @throws InvalidArgumentError when the range leaves the tensor */
  writeBytes(tensor: Tensor, byteOffset: number, source: Uint8Array): void;

  /** Resolves when every op called before has run. */
  sync(): Promise<void>;

  /** Gives back the memory of one `allocate` or `loadWeight`. The tensor and its views are dead afterwards. */
  free(tensor: Tensor): void;

  memoryUsage(): MemoryUsage;

  /** Frees everything that is left. Safe to call twice. */
  close(): Promise<void>;
}
