/** Calls of matmul kernels (generators/matmul-tile.ts) for parts of a panel of weight rows. */
import { GROUP_ROWS } from '../generators/matmul-tile.ts';
import type { Kernel } from '../kernel-module.ts';

/** What all parts share. Addresses are of the panel's first weight row; 0 for none. */
export interface TileSums {
  readonly x: number;
  readonly numRecords: number;
  readonly out: number;
  readonly outStride: number;
  readonly bias: number;
  readonly residual: number;
  readonly before: number;
  readonly beforeStride: number;
}

export interface TilePart {
  readonly weight: number;
  /** The first group of weight rows, in the panel. */
  readonly group: number;
  /** How many times the groups that the kernel takes at once. */
  readonly numTiles: number;
}

export function runKernel(kernel: Kernel, sums: TileSums, { weight, group, numTiles }: TilePart): void {
  const { x, out, outStride, numRecords, bias, residual, before, beforeStride } = sums;
  const right = group * GROUP_ROWS * 4;
  const biasHere = bias === 0 ? 0 : bias + right;
  const residualHere = residual === 0 ? 0 : residual + right;
  const beforeHere = before === 0 ? 0 : before + right;
  kernel(weight, x, out + right, outStride, numRecords, numTiles, biasHere, residualHere, beforeHere, beforeStride);
}

/** Unpacked groups, whole rows, from the panel's first group on.
 * @param numTokenTiles  full tiles of tokens */
export function runUnpacked(
  kernel: Kernel,
  { x, out, outStride, numRecords, bias, residual }: TileSums,
  { weight, numTiles }: Omit<TilePart, 'group'>,
  numTokenTiles: number,
): void {
  kernel(weight, x, out, outStride, numRecords, numTiles, bias, residual, numTokenTiles);
}
