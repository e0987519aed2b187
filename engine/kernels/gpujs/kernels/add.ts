/** Element-wise sum: the residual connection. The result may be either input. */
import type { KernelSource, KernelThread, Matrix } from '../kernel-source.ts';

/** Threads (column, row). */
function add(this: KernelThread, a: Matrix, b: Matrix): number {
  return a[this.thread.y]![this.thread.x]! + b[this.thread.y]![this.thread.x]!;
}

export const ADD: KernelSource = { kernel: add, parameters: { a: 'f32', b: 'f32' }, result: 'element' };
