/** tanh x of several vectors at once, in place, to about 2e-7 of 1: e^(-2|x|) cannot overflow, and the sign comes back
 * last. tanh of an infinity is 1 or -1, of NaN NaN.
 *
 *   tanh |x| = (1 - t) / (1 + t),  t = e^(-2|x|) */
import type { Local, Statement, V128 } from '../emitter/code.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32x4, i32x4, v128 } from '../emitter/simd.ts';
import { exponential, type Features } from './arithmetic.ts';

export function hyperbolicTangent(fn: FunctionBuilder, features: Features, xs: readonly Local<'v128'>[]): Statement[] {
  const constant = (value: number): V128 => fn.constant(f32x4.constant(value));
  const sign = fn.constant(i32x4.splat(0x80000000));
  const signs = fn.locals('v128', xs.length);
  return [
    ...xs.map((x, i) => signs[i]!.set(v128.and(x, sign))),
    ...xs.map((x) => x.set(f32x4.mul(f32x4.abs(x), constant(-2)))),
    ...exponential(fn, features, xs),
    ...xs.map((x) => x.set(f32x4.div(f32x4.sub(constant(1), x), f32x4.add(constant(1), x)))),
    ...xs.map((x, i) => x.set(v128.or(x, signs[i]!))),
  ];
}
