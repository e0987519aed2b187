/** Copies one KV block over another, in place: copy on write, after two sequences that shared it go different ways. */
import type { KernelSource, KernelThread, Matrix, Volume } from '../kernel-source.ts';

/** Threads (element d, slot in the block, KV head). One run per copy: a block may be the target of one copy and the
 * source of the next. The cache is seen as [B * NKV][BS][D]. */
function copyBlock(this: KernelThread, cache: Volume, copies: Matrix, copy: number, numKvHeads: number): number[] {
  const d = this.thread.x;
  const slot = this.thread.y;
  const head = this.thread.z;
  const source = copies[copy]![0]! * numKvHeads + head;
  const target = copies[copy]![1]! * numKvHeads + head;
  return [cache[source]![slot]![d]!, d, slot, target];
}

export const COPY_BLOCK: KernelSource = {
  kernel: copyBlock,
  parameters: { cache: 'f32', copies: 'i32', copy: 'integer', numKvHeads: 'integer' },
  result: 'scatter',
};
