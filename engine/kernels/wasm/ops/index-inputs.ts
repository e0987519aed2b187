/** Integer inputs as typed arrays over the shared memory. */
import type { Tensor } from '../../../tensor/tensor.ts';
import type { LinearMemory } from '../linear-memory.ts';
import { addressOf } from '../wasm-buffer.ts';

export function intsIn(memory: LinearMemory, tensor: Tensor): Int32Array<SharedArrayBuffer> {
  const start = addressOf(tensor) / 4;
  return memory.ints.subarray(start, start + tensor.numElements);
}
