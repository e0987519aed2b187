/** A tensor of the wasm memory as the reference sees tensors. */
import { Tensor } from '../../../tensor/tensor.ts';
import type { LinearMemory } from '../linear-memory.ts';
import { byteAddressOf } from '../wasm-buffer.ts';

/** The same bytes: host memory is the whole wasm memory, and an address an offset in it. */
export function hostTensor(memory: LinearMemory, tensor: Tensor): Tensor {
  return new Tensor(tensor.dtype, tensor.shape, memory.host, byteAddressOf(tensor));
}
