/** Results so small that every thread computes all of them for itself: that takes less time than to wait for the threads that
 * have a part of them. They lie in the thread's own memory, and in `out`, where each thread writes its part as ever, for
 * whoever reads them after the next meeting. */

import type { Tensor } from '../../../tensor/tensor.ts';
import { THREAD_ROWS_BYTES, threadRows } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf } from '../wasm-buffer.ts';

/** Whether a tensor is so small. */
export const fitsOwnRows = ({ byteLength }: Tensor): boolean => byteLength <= THREAD_ROWS_BYTES;

/** A thread's note of what its memory holds since the threads last met: one tensor at most. */
export class OwnRows {
  #machine: Machine | undefined;
  #address = 0;
  #rows = 0;

  /** @returns where the thread's own copy of the tensor goes */
  keep(machine: Machine, tensor: Tensor, part: number): number {
    this.#machine = machine;
    this.#address = addressOf(tensor);
    this.#rows = threadRows(part);
    return this.#rows;
  }

  /** The address of an f32 tensor's values: of the thread's own copy where it has one. */
  addressOf(machine: Machine, tensor: Tensor): number {
    const address = addressOf(tensor);
    return machine === this.#machine && address === this.#address ? this.#rows : address;
  }

  /** To be called when threads have met. */
  forget(): void {
    this.#machine = undefined;
  }
}
