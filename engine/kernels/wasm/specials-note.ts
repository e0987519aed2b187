/** A word behind every tensor of f16, for all threads to see: whether KV pages may hold an infinity or NaN. It is set by
 * whoever stores one and stays. As long as it is not, attention may read f16 in the quicker way that knows finite numbers only
 * (generators/half-floats.ts); bits do not depend on which way is taken. */
import type { DType } from '../../tensor/dtype.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { Machine } from './machine.ts';
import type { WasmBuffer } from './wasm-buffer.ts';

/** What a buffer of the dtype takes beyond its elements: with room to begin at a multiple of 4. */
export function noteBytesOf(dtype: DType): number {
  return dtype === 'f16' ? 8 : 0;
}

const SET = 1;
const VECTOR_BYTES = 16;

function indexOf(tensor: Tensor): number {
  const { address, byteLength } = tensor.buffer as WasmBuffer;
  return Math.ceil((address + byteLength) / 4);
}

export function mayHoldSpecials({ ints }: LinearMemory, pages: Tensor): boolean {
  return Atomics.load(ints, indexOf(pages)) === SET;
}

/** For pages of f16. */
export function noteSpecials({ ints }: LinearMemory, pages: Tensor): void {
  Atomics.store(ints, indexOf(pages), SET);
}

/** Looks at bytes that came to pages from elsewhere.
 * @param bytes  where they lie in the machine's memory */
export function lookForSpecials({ memory, kernels }: Machine, pages: Tensor, bytes: Uint8Array): void {
  if (pages.dtype !== 'f16' || mayHoldSpecials(memory, pages)) return;
  // Whole vectors: what else lies in the first and the last can at worst set the note for nothing.
  const start = bytes.byteOffset - (bytes.byteOffset % VECTOR_BYTES);
  const count = Math.ceil((bytes.byteOffset + bytes.byteLength - start) / VECTOR_BYTES);
  if (kernels.has_special_f16!(start, count) !== 0) noteSpecials(memory, pages);
}
