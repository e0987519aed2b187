/** Appends keys or values to the paged cache, in place: a result that goes where the slot mapping says. */
import type { KernelSource, KernelThread, ResultElement, Vector, Volume } from '../kernel-source.ts';

/** Threads (element d, KV head, token). The cache is seen as [B * NKV][BS][D]: four dimensions in three, so that no
 * index grows beyond what a float counts exactly.
 *
 * Adding 0.5 before dividing keeps the quotient away from whole numbers: a GPU's division may be a little off, and
 * 6 / 3 = 1.9999999 would become block 1. A slot of -1 gives column -1, and nothing is written. */
function writeKv(
  this: KernelThread,
  values: Volume,
  slotMapping: Vector,
  blockSize: number,
  numKvHeads: number,
): number[] {
  const d = this.thread.x;
  const head = this.thread.y;
  const token = this.thread.z;
  const slot = slotMapping[token]!;
  if (slot < 0) {
    return [0, -1, 0, 0];
  }
  const block = Math.floor((slot + 0.5) / blockSize);
  const slotInBlock = slot - block * blockSize;
  return [values[token]![head]![d]!, d, slotInBlock, block * numKvHeads + head];
}

/** By the dtype of the cache. */
export const WRITE_KV = { f32: sourceFor('f32'), f16: sourceFor('f16') };

function sourceFor(resultElement: ResultElement): KernelSource {
  return {
    kernel: writeKv,
    parameters: { values: 'f32', slotMapping: 'i32', blockSize: 'integer', numKvHeads: 'integer' },
    result: 'scatter',
    resultElement,
  };
}
