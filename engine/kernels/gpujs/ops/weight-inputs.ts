/** A weight's bytes as the arrays that a kernel wants to see: its parameters say which. */
import { BYTES_PER_ELEMENT, isScalar, type KernelSource } from '../kernel-source.ts';
import type { ArrayView } from '../launch.ts';
import type { WeightRows } from './op-target.ts';

/** One view of the rows for each array parameter that is not among `others`: the same bytes as u8, i8, f16 ... */
export function weightInputs(
  { parameters }: KernelSource,
  { buffer, byteOffset, bytesPerRow, numRows }: WeightRows,
  others: readonly string[],
): Record<string, ArrayView> {
  const views: Record<string, ArrayView> = {};
  for (const [name, kind] of Object.entries(parameters)) {
    if (isScalar(kind) || others.includes(name)) continue;
    const bytes = BYTES_PER_ELEMENT[kind];
    views[name] = { buffer, dims: [numRows, bytesPerRow / bytes], start: byteOffset / bytes };
  }
  return views;
}
