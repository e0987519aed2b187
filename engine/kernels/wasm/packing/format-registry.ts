/** The weight formats that have kernels. */
import { bf16, f16, f32 } from './formats/floats.ts';
import { q4_k, q5_k, q6_k } from './formats/k-quants.ts';
import { q4_0 } from './formats/q4-0.ts';
import { q8_0 } from './formats/q8-0.ts';
import type { PackedFormat } from './packed-format.ts';

export const PACKED_FORMATS: readonly PackedFormat[] = [q8_0, q4_0, q4_k, q5_k, q6_k, f32, f16, bf16];

/** The format with kernels for a dtype, if there is one. */
export function packedFormat(dtype: string): PackedFormat | undefined {
  return PACKED_FORMATS.find((format) => format.dtype === dtype);
}
