/** Appends keys or values to a paged cache of q8_0, in place. A row is a chain of quant blocks, and a quant block is 17 halves
 * of a word: its scale, an f16, and 32 levels, signed bytes of which two make a half.
 *
 *   row, as halves    | d | l l l l l l l l l l l l l l l l | d | l l ...      17 halves per 32 elements
 *
 * A thread returns one half, so scales and levels are two kernels, and every thread of a quant block looks for the largest of
 * its 32 elements again. Layout: ggml `block_q8_0`. */
import type { KernelSource, KernelThread, Vector, Volume } from '../kernel-source.ts';

/** Threads (quant block, KV head, token). Slots as in write-kv.ts. */
function writeScales(
  this: KernelThread,
  values: Volume,
  slotMapping: Vector,
  blockSize: number,
  numKvHeads: number,
): number[] {
  const head = this.thread.y;
  const token = this.thread.z;
  const slot = slotMapping[token]!;
  if (slot < 0) {
    return [0, -1, 0, 0];
  }
  let largest = 0;
  for (let i = 0; i < 32; i++) {
    largest = Math.max(largest, Math.abs(values[token]![head]![32 * this.thread.x + i]!));
  }
  const block = Math.floor((slot + 0.5) / blockSize);
  const slotInBlock = slot - block * blockSize;
  return [largest / 127, 17 * this.thread.x, slotInBlock, block * numKvHeads + head];
}

/** Threads (pair of elements, KV head, token). */
function writeLevels(
  this: KernelThread,
  values: Volume,
  slotMapping: Vector,
  blockSize: number,
  numKvHeads: number,
): number[] {
  const pair = this.thread.x;
  const head = this.thread.y;
  const token = this.thread.z;
  const slot = slotMapping[token]!;
  if (slot < 0) {
    return [0, -1, 0, 0];
  }
  const quantBlock = pair >> 4;
  let largest = 0;
  for (let i = 0; i < 32; i++) {
    largest = Math.max(largest, Math.abs(values[token]![head]![32 * quantBlock + i]!));
  }
  let inverse = 0;
  if (largest > 0) {
    inverse = 127 / largest;
  }
  // Half a level up before rounding down; a level below 0 is a byte from 128 on.
  let low = Math.floor(values[token]![head]![2 * pair]! * inverse + 0.5);
  if (low < 0) {
    low = low + 256;
  }
  let high = Math.floor(values[token]![head]![2 * pair + 1]! * inverse + 0.5);
  if (high < 0) {
    high = high + 256;
  }
  const block = Math.floor((slot + 0.5) / blockSize);
  const slotInBlock = slot - block * blockSize;
  return [low + 256 * high, pair + quantBlock + 1, slotInBlock, block * numKvHeads + head];
}

const parameters = { values: 'f32', slotMapping: 'i32', blockSize: 'integer', numKvHeads: 'integer' } as const;
const result = 'scatter';

export const WRITE_KV_SCALES: KernelSource = { kernel: writeScales, parameters, result, resultElement: 'f16' };
export const WRITE_KV_LEVELS: KernelSource = { kernel: writeLevels, parameters, result, resultElement: 'u16' };
