/** GeGLU's gate: gelu(gate) * up, with the tanh approximation of GELU
 *   gelu(x) = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))   (Hendrycks & Gimpel 2016, section 2). */
import type { GatedActivationArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { floatsOf } from './host-memory.ts';

const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

/** A part is a range of elements. Numerics: f64 throughout, one rounding. */
export function geluMul(args: GatedActivationArgs, part: Part = WHOLE): void {
  const gate = floatsOf(args.gate);
  const up = floatsOf(args.up);
  const out = floatsOf(args.out);

  const end = partEnd(out.length, part);
  for (let i = partStart(out.length, part); i < end; i++) out[i] = gelu(gate[i]!) * up[i]!;
}

export function gelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x)));
}
