/** Weights and biases of norms as f32 where a kernel can read them: f32 vectors as they lie, others (safetensors files
 * hold them in bf16) widened into the thread's scratch memory. */
import type { FloatDType } from '../../../tensor/dtype.ts';
import { quantFormat } from '../../../tensor/quant/quant-registry.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import { ROW_FORMATS } from '../generators/row-formats.ts';
import { THREAD_SCRATCH_BYTES } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf, byteAddressOf } from '../wasm-buffer.ts';

/** Whether `count` vectors of `length` elements fit into the scratch memory. */
export function vectorsFit(length: number, count: number): boolean {
  return length * 4 * count <= THREAD_SCRATCH_BYTES;
}

/** Address of the vector's values as f32.
 * @param scratch  4 bytes per element, used when the vector is absent or not f32
 * @param absent  what every element is when there is no vector, and how many there are */
export function vectorIn(
  { memory, kernels }: Machine,
  vector: Tensor | undefined,
  scratch: number,
  absent: { readonly value: number; readonly length: number },
): number {
  if (vector?.dtype === 'f32') return addressOf(vector);
  const start = scratch / 4;
  if (vector === undefined) {
    memory.floats.fill(absent.value, start, start + absent.length);
    return scratch;
  }
  const { numElements } = vector;
  const source = byteAddressOf(vector);
  if (vector.dtype in ROW_FORMATS) {
    kernels[`widen_rows_${vector.dtype}`]!(source, scratch, numElements, 1, 0, 0);
    return scratch;
  }
  const { dequantize, blockSize } = quantFormat(vector.dtype as FloatDType);
  dequantize(memory.bytes, source, memory.floats, start, numElements / blockSize);
  return scratch;
}
