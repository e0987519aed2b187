/** Element-wise sum: the residual connection. */
import type { AddArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { floatsOf } from './host-memory.ts';

/** A part is a range of elements. Numerics: the f32 sum (a sum of two f32 rounded from f64 is the same number). */
export function add(args: AddArgs, part: Part = WHOLE): void {
  const a = floatsOf(args.a);
  const b = floatsOf(args.b);
  const out = floatsOf(args.out);

  const end = partEnd(out.length, part);
  for (let i = partStart(out.length, part); i < end; i++) out[i] = a[i]! + b[i]!;
}
