/** Kernels that take one element after another: eight at a time, then the rest one by one in lane 0 of the same vector
 * code, so that an element's bits do not depend on where in the range it stood. */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { exponential, type Features } from './arithmetic.ts';
import { storeVectors } from './store-vectors.ts';

/** (a, b, out, count, rows, stride, bStride) -> (): out = a + b, row by row. Rows of a and out are `stride` bytes apart, those
 * of b `bStride`. */
export function add(): FunctionBuilder {
  return elementwise('add', (_fn, a, b) => a.map((x, i) => x.set(f32x4.add(x, b[i]!))));
}

/** (gate, up, out, count, rows, stride, upStride) -> (): out = gate / (1 + e^-gate) * up. */
export function siluMul(features: Features): FunctionBuilder {
  return elementwise('silu_mul', (fn, gates, ups) => {
    const exps = fn.locals('v128', gates.length);
    return [...exps.map((e, i) => e.set(f32x4.neg(gates[i]!))), ...gated(fn, features, { exps, gates, ups })];
  });
}

/** (gate, up, out, count, rows, stride, upStride) -> (): out = gelu(gate) * up, by the tanh formula, in which (1 + tanh u) / 2 is the same as
 * 1 / (1 + e^-2u):
 *
 *   gelu(x) = x / (1 + e^-2u)      u = sqrt(2 / pi) * (x + 0.044715 x^3)
 *
 * Source  Hendrycks & Gimpel 2016, section 2 */
export function geluMul(features: Features): FunctionBuilder {
  return elementwise('gelu_mul', (fn, gates, ups) => {
    const exps = fn.locals('v128', gates.length);
    const [linear, cubic] = [1, 0.044715].map((factor) =>
      fn.constant(f32x4.constant(-2 * Math.sqrt(2 / Math.PI) * factor)),
    ) as [Local<'v128'>, Local<'v128'>];
    return [
      ...exps.map((e, i) => e.set(f32x4.mul(gates[i]!, gates[i]!))),
      ...exps.map((e) => e.set(f32x4.add(f32x4.mul(e, cubic), linear))),
      ...exps.map((e, i) => e.set(f32x4.mul(e, gates[i]!))),
      ...gated(fn, features, { exps, gates, ups }),
    ];
  });
}

/** gates = gates / (1 + e^exps) * ups. The exponential ends at 1e38, so a gate of -1e38 would not come out as 0: nothing
 * below -100 differs from -100 here, and -infinity comes out as 0, its limit, where the reference has NaN. */
function gated(
  fn: FunctionBuilder,
  features: Features,
  { exps, gates, ups }: Readonly<Record<'exps' | 'gates' | 'ups', readonly Local<'v128'>[]>>,
): Statement[] {
  const [one, least] = [fn.constant(f32x4.constant(1)), fn.constant(f32x4.constant(-100))];
  return [
    ...exponential(fn, features, exps),
    ...exps.map((e) => e.set(f32x4.add(e, one))),
    ...gates.map((gate, i) => gate.set(f32x4.mul(f32x4.div(f32x4.pmax(gate, least), exps[i]!), ups[i]!))),
  ];
}

/** Emits statements that turn vectors of a (in place) and of b into results, left in a. */
type Compute = (fn: FunctionBuilder, a: readonly Local<'v128'>[], b: readonly Local<'v128'>[]) => Statement[];

/** All loads come before all stores: V8 fuses the halves of a pair only when nothing is written between them. */
function elementwise(name: string, compute: Compute): FunctionBuilder {
  const fn = new FunctionBuilder(name);
  const { aRow, bRow, outRow, count, rows, stride, bStride } = fn.params(
    'aRow',
    'bRow',
    'outRow',
    'count',
    'rows',
    'stride',
    'bStride',
  );
  const [a, b, out, rounds] = fn.locals('i32', 4) as [Local<'i32'>, Local<'i32'>, Local<'i32'>, Local<'i32'>];
  const step = (numElements: number): Statement[] => [a, b, out].map((pointer) => advance(pointer, 4 * numElements));

  const [as, bs] = [fn.locals('v128', 2), fn.locals('v128', 2)];
  const wide = [
    ...as.map((x, i) => x.set(v128.load(a, 16 * i))),
    ...bs.map((x, i) => x.set(v128.load(b, 16 * i))),
    ...compute(fn, as, bs),
    ...storeVectors(out, as),
  ];
  const [one, other] = [fn.local('v128'), fn.local('v128')];
  const narrow = [
    one.set(v128.load32Zero(a)),
    other.set(v128.load32Zero(b)),
    ...compute(fn, [one], [other]),
    f32.store(out, f32x4.extractLane(one, 0)),
  ];
  fn.emit(
    countDownFromAny(
      rows,
      a.set(aRow),
      b.set(bRow),
      out.set(outRow),
      rounds.set(i32.shrU(count, i32.const(3))),
      countDownFromAny(rounds, ...wide, ...step(8)),
      rounds.set(i32.and(count, i32.const(7))),
      countDownFromAny(rounds, ...narrow, ...step(1)),
      advance(aRow, stride),
      advance(bRow, bStride),
      advance(outRow, stride),
    ),
  );
  return fn;
}
