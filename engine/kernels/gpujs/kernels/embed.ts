/** Token ids to vectors, one kernel per weight format: each thread dequantizes the one element that it returns.
 * The layouts are drawn in the matmul kernel of each format.
 *
 * A table too large for one binding comes in chunks of rows, with one run for each: a thread whose token is not among
 * the `numRows` from `firstRow` writes nothing (column -1). */
import type { KernelSource, KernelThread, Matrix, Vector } from '../kernel-source.ts';

/** Threads (element i, token t), as in all kernels of this file. */
function embedFloat(this: KernelThread, tokenIds: Vector, firstRow: number, numRows: number, weight: Matrix): number[] {
  const row = tokenIds[this.thread.y]! - firstRow;
  if (row < 0 || row >= numRows) {
    return [0, -1, 0, 0];
  }
  return [weight[row]![this.thread.x]!, this.thread.x, this.thread.y, 0];
}

function embedQ4_0(
  this: KernelThread,
  tokenIds: Vector,
  firstRow: number,
  numRows: number,
  levels: Matrix,
  scales: Matrix,
): number[] {
  const row = tokenIds[this.thread.y]! - firstRow;
  if (row < 0 || row >= numRows) {
    return [0, -1, 0, 0];
  }
  const block = this.thread.x >> 5;
  const j = this.thread.x & 31;
  const pair = levels[row]![18 * block + 2 + (j & 15)]!;
  const level = (pair >> (4 * (j >> 4))) & 15;
  return [(level - 8) * scales[row]![9 * block]!, this.thread.x, this.thread.y, 0];
}

function embedQ8_0(
  this: KernelThread,
  tokenIds: Vector,
  firstRow: number,
  numRows: number,
  levels: Matrix,
  scales: Matrix,
): number[] {
  const row = tokenIds[this.thread.y]! - firstRow;
  if (row < 0 || row >= numRows) {
    return [0, -1, 0, 0];
  }
  const block = this.thread.x >> 5;
  return [
    levels[row]![34 * block + 2 + (this.thread.x & 31)]! * scales[row]![17 * block]!,
    this.thread.x,
    this.thread.y,
    0,
  ];
}

function embedQ4_K(
  this: KernelThread,
  tokenIds: Vector,
  firstRow: number,
  numRows: number,
  bytes: Matrix,
  factors: Matrix,
): number[] {
  const row = tokenIds[this.thread.y]! - firstRow;
  if (row < 0 || row >= numRows) {
    return [0, -1, 0, 0];
  }
  const block = this.thread.x >> 8;
  const sub = (this.thread.x >> 5) & 7;
  const start = 144 * block;
  let scale = bytes[row]![start + 4 + (sub & 3)]!;
  let min = bytes[row]![start + 8 + (sub & 3)]!;
  if (sub < 4) {
    scale = scale & 63;
    min = min & 63;
  } else {
    const low = bytes[row]![start + 8 + sub]!;
    scale = (low & 15) | ((scale >> 6) << 4);
    min = (low >> 4) | ((min >> 6) << 4);
  }
  const pair = bytes[row]![start + 16 + 32 * (sub >> 1) + (this.thread.x & 31)]!;
  const level = (pair >> (4 * (sub & 1))) & 15;
  return [
    factors[row]![72 * block]! * scale * level - factors[row]![72 * block + 1]! * min,
    this.thread.x,
    this.thread.y,
    0,
  ];
}

function embedQ6_K(
  this: KernelThread,
  tokenIds: Vector,
  firstRow: number,
  numRows: number,
  bytes: Matrix,
  scales: Matrix,
  factors: Matrix,
): number[] {
  const row = tokenIds[this.thread.y]! - firstRow;
  if (row < 0 || row >= numRows) {
    return [0, -1, 0, 0];
  }
  const block = this.thread.x >> 8;
  const sub = (this.thread.x >> 4) & 15;
  const l = this.thread.x & 15;
  const start = 210 * block;
  const quarter = (sub >> 1) & 3;
  const low = start + 64 * (sub >> 3) + 32 * (quarter & 1) + 16 * (sub & 1) + l;
  const high = start + 128 + 32 * (sub >> 3) + 16 * (sub & 1) + l;
  const lowBits = (bytes[row]![low]! >> (4 * (quarter >> 1))) & 15;
  const highBits = (bytes[row]![high]! >> (2 * quarter)) & 3;
  const scale = factors[row]![105 * block + 104]! * scales[row]![start + 192 + sub]!;
  return [scale * (lowBits + 16 * highBits - 32), this.thread.x, this.thread.y, 0];
}

const place = { tokenIds: 'i32', firstRow: 'integer', numRows: 'integer' } as const;
const result = 'scatter';

export const EMBED = {
  f32: { kernel: embedFloat, parameters: { ...place, weight: 'f32' }, result },
  f16: { kernel: embedFloat, parameters: { ...place, weight: 'f16' }, result },
  bf16: { kernel: embedFloat, parameters: { ...place, weight: 'bf16' }, result },
  q4_0: { kernel: embedQ4_0, parameters: { ...place, levels: 'u8', scales: 'f16' }, result },
  q8_0: { kernel: embedQ8_0, parameters: { ...place, levels: 'i8', scales: 'f16' }, result },
  q4_k: { kernel: embedQ4_K, parameters: { ...place, bytes: 'u8', factors: 'f16' }, result },
  q6_k: { kernel: embedQ6_K, parameters: { ...place, bytes: 'u8', scales: 'i8', factors: 'f16' }, result },
} as const satisfies Record<string, KernelSource>;
