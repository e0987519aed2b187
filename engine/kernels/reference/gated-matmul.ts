/** A gated MLP up to its down projection: the activation of one linear layer times another (Shazeer 2020, eq. 6). */
import type { GatedMatmulArgs } from '../ops.ts';
import { type Part, WHOLE } from '../part.ts';
import { gelu } from './gelu-mul.ts';
import { floatsOf } from './host-memory.ts';
import { forEachProduct } from './matmul.ts';
import { silu } from './silu-mul.ts';

/** A part is a range of output features. Numerics: both layers are rounded to f32, as matmul rounds them. */
export function gatedMatmul(args: GatedMatmulArgs, part: Part = WHOLE): void {
  const { x } = args;
  const out = floatsOf(args.out);
  const activation = args.activation === 'silu' ? silu : gelu;
  forEachProduct({ x, weight: args.gateWeight, bias: args.gateBias }, part, (i, gate) => {
    out[i] = gate;
  });
  forEachProduct({ x, weight: args.upWeight, bias: args.upBias }, part, (i, up) => {
    out[i] = activation(out[i]!) * up;
  });
}
