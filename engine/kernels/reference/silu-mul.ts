/** SwiGLU's gate: silu(gate) * up, with silu(x) = x * sigmoid(x) = x / (1 + e^-x) (Shazeer 2020, eq. 6). */
import type { GatedActivationArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { floatsOf } from './host-memory.ts';

/** A part is a range of elements. Numerics: f64 throughout, one rounding. */
export function siluMul(args: GatedActivationArgs, part: Part = WHOLE): void {
  const gate = floatsOf(args.gate);
  const up = floatsOf(args.up);
  const out = floatsOf(args.out);

  const end = partEnd(out.length, part);
  for (let i = partStart(out.length, part); i < end; i++) out[i] = silu(gate[i]!) * up[i]!;
}

export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}
