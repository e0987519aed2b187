/** Copies one KV block over another, in place: copy on write, after two sequences that shared it go different ways. */
import type { KernelSource, KernelThread, Matrix, ResultElement, Volume } from '../kernel-source.ts';

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

/** By the dtype of the cache; one of q8_0 is seen as halves. */
export const COPY_BLOCK = { f32: sourceFor('f32'), f16: sourceFor('f16'), q8_0: sourceFor('u16') };

function sourceFor(cache: ResultElement): KernelSource {
  return {
    kernel: copyBlock,
    parameters: { cache, copies: 'i32', copy: 'integer', numKvHeads: 'integer' },
    result: 'scatter',
    resultElement: cache,
  };
}
