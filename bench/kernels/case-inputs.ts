/** What kernel cases are made of: what a case is, and the tensors it works on. */
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import type { FloatDType } from '../../engine/tensor/dtype.ts';
import { quantFormat } from '../../engine/tensor/quant/quant-registry.ts';
import type { Tensor } from '../../engine/tensor/tensor.ts';
import { Rng } from '../../engine/util/rng.ts';

export interface KernelCase {
  readonly name: string;
  /** Bytes that come from memory at least once per run. */
  readonly bytes: number;
  /** 2 per multiply-add; undefined where bytes are what counts. */
  readonly operations?: number;
  /** Which peak the operations are measured against. */
  readonly peak?: 'f32' | 'dotI16' | 'dotI8';
  run(): void;
  free(): void;
}

/** A case is made when its turn comes and freed after it. */
export type CaseFactory = { readonly name: string; make(backend: KernelBackend): Promise<KernelCase> };

/** Every byte is written: pages that never were all read the same zeros, from cache. Scales are ordinary numbers, not
 * denormals, which are slow. One row's worth of random values is stored again and again. */
export async function randomWeight(
  backend: KernelBackend,
  dtype: FloatDType,
  shape: readonly number[],
): Promise<Tensor> {
  const format = quantFormat(dtype);
  const period = 4096 * 7;
  const rng = Rng.fromSeed(1);
  const values = Float32Array.from({ length: period }, () => rng.nextFloat() - 0.5);
  const bytes = new Uint8Array((period / format.blockSize) * format.bytesPerBlock);
  format.quantize!(values, 0, bytes, 0, period / format.blockSize);
  return backend.loadWeight(dtype, shape, async (byteOffset, target) => {
    for (let at = 0; at < target.length; ) {
      const from = (byteOffset + at) % bytes.length;
      const piece = bytes.subarray(from, from + target.length - at);
      target.set(piece, at);
      at += piece.length;
    }
  });
}

export function randomFloats(backend: KernelBackend, shape: readonly number[]): Tensor {
  const tensor = backend.allocate('f32', shape, 'scratch');
  const rng = Rng.fromSeed(2);
  backend.upload(
    tensor,
    Float32Array.from({ length: tensor.numElements }, () => 2 * rng.nextFloat() - 1),
  );
  return tensor;
}

export function ints(backend: KernelBackend, shape: readonly number[], value: (i: number) => number): Tensor {
  const tensor = backend.allocate('i32', shape, 'scratch');
  backend.upload(
    tensor,
    Int32Array.from({ length: tensor.numElements }, (_, i) => value(i)),
  );
  return tensor;
}

export function freeAll(backend: KernelBackend, tensors: readonly Tensor[]): void {
  for (const tensor of tensors) backend.free(tensor);
}
