/** Copies chosen rows: the hidden states of those tokens whose logits somebody wants. */
import type { KernelSource, KernelThread, Matrix, Vector } from '../kernel-source.ts';

/** Threads (column, row of the result). */
function gatherRows(this: KernelThread, x: Matrix, rows: Vector): number {
  return x[rows[this.thread.y]!]![this.thread.x]!;
}

export const GATHER_ROWS: KernelSource = {
  kernel: gatherRows,
  parameters: { x: 'f32', rows: 'i32' },
  result: 'element',
};
