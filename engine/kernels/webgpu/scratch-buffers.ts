/** Memory between two kernels of an op. Kept by name from op to op, as commands run in order; grows when an op needs more,
 * and goes when the backend has nothing else left. */
import type { Tensor } from '../../tensor/tensor.ts';
import type { GpuMemory } from './gpu-memory.ts';

export class ScratchBuffers {
  readonly #tensors = new Map<string, Tensor>();

  /** A buffer of at least so many f32s, of unknown contents. */
  take(memory: GpuMemory, name: string, count: number): GPUBuffer {
    let tensor = this.#tensors.get(name);
    if (tensor === undefined || tensor.numElements < count) {
      if (tensor !== undefined) memory.free(tensor);
      this.#tensors.delete(name);
      // A power of two, so that a sequence that grows token by token does not need a new one for each.
      const size = 2 ** Math.ceil(Math.log2(Math.max(64, count)));
      tensor = memory.allocate('f32', [size], 'scratch');
      this.#tensors.set(name, tensor);
    }
    return memory.plainBuffer(name, tensor);
  }

  /** Gives everything back unless somebody still has memory. */
  releaseIfAlone(memory: GpuMemory): void {
    if (this.#tensors.size === 0 || memory.numBuffers > this.#tensors.size) return;
    for (const tensor of this.#tensors.values()) memory.free(tensor);
    this.#tensors.clear();
  }
}
