/** Rotary position embedding, in place: each thread turns one pair of one head of one token (Su et al. 2021, eq. 34). */
import type { KernelSource, KernelThread, Matrix, Vector, Volume } from '../kernel-source.ts';

/** Threads (pair, head, token). Where pair i lies in the head:
 *   interleaved   2 i and 2 i + 1      pairStep 2, partnerDistance 1
 *   neox          i and i + R / 2      pairStep 1, partnerDistance R / 2
 * A thread reads and writes its own pair only, so all of them may work in place. */
function rope(
  this: KernelThread,
  x: Volume,
  positions: Vector,
  table: Matrix,
  pairStep: number,
  partnerDistance: number,
): number[] {
  const pair = this.thread.x;
  const head = this.thread.y;
  const token = this.thread.z;
  const position = positions[token]!;
  const first = pair * pairStep;
  const second = first + partnerDistance;
  const cos = table[position]![2 * pair]!;
  const sin = table[position]![2 * pair + 1]!;
  const a = x[token]![head]![first]!;
  const b = x[token]![head]![second]!;
  return [a * cos - b * sin, a * sin + b * cos, first, second];
}

export const ROPE: KernelSource = {
  kernel: rope,
  parameters: { x: 'f32', positions: 'i32', table: 'f32', pairStep: 'integer', partnerDistance: 'integer' },
  result: 'columns',
};
