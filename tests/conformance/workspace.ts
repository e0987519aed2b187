/** The tensors of one conformance case on one backend, made from host values and freed together. */
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import type { OpArgs, OpName } from '../../engine/kernels/ops.ts';
import type { DType, FloatDType } from '../../engine/tensor/dtype.ts';
import { numElements, type Shape } from '../../engine/tensor/shape.ts';
import type { Tensor } from '../../engine/tensor/tensor.ts';

export class Workspace {
  readonly backend: KernelBackend;
  readonly #tensors: Tensor[] = [];

  constructor(backend: KernelBackend) {
    this.backend = backend;
  }

  zeros(dtype: DType, shape: Shape): Tensor {
    const tensor = this.backend.allocate(dtype, shape, 'scratch');
    this.#tensors.push(tensor);
    return tensor;
  }

  floats(shape: Shape, values: Float32Array): Tensor {
    const tensor = this.zeros('f32', shape);
    this.backend.upload(tensor, values);
    return tensor;
  }

  ints(shape: Shape, values: ArrayLike<number>): Tensor {
    const tensor = this.zeros('i32', shape);
    this.backend.upload(tensor, Int32Array.from(values));
    return tensor;
  }

  /** Where an op shall write: filled with a value that no op computes, so that a missed element shows. */
  output(shape: Shape): Tensor {
    return this.floats(shape, new Float32Array(numElements(shape)).fill(UNTOUCHED));
  }

  async weight(dtype: FloatDType, shape: Shape, bytes: Uint8Array): Promise<Tensor> {
    const tensor = await this.backend.loadWeight(dtype, shape, async (byteOffset, target) => {
      target.set(bytes.subarray(byteOffset, byteOffset + target.length));
    });
    this.#tensors.push(tensor);
    return tensor;
  }

  /** Runs an op that the backend must support: what it cannot do is declared in the suite's `skip`, never found out. */
  run<Name extends OpName>(op: Name, args: OpArgs[Name]): void {
    const answer = this.backend.supports(op, args);
    if (answer !== true) throw new Error(`${this.backend.name} does not support this ${op}: ${answer}`);
    (this.backend[op] as (args: OpArgs[Name]) => void)(args);
  }

  read(tensor: Tensor): Promise<Float32Array> {
    return this.backend.download(tensor);
  }

  free(): void {
    for (const tensor of this.#tensors.splice(0)) this.backend.free(tensor);
  }
}

/** What `output` is filled with. */
export const UNTOUCHED = -12_345_678;

/** Runs `body` with a workspace of its own and frees it, whatever happens. */
export async function withWorkspace<T>(backend: KernelBackend, body: (work: Workspace) => Promise<T>): Promise<T> {
  const work = new Workspace(backend);
  try {
    return await body(work);
  } finally {
    work.free();
  }
}
