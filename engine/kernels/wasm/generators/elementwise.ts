/** Kernels that take one element after another: eight at a time, then the rest one by one in lane 0 of the same vector
 * code, so that an element's bits do not depend on where in the range it stood. */
import type { I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { exponential, type Features } from './arithmetic.ts';

type Load = (address: I32) => V128;

/** (a, b, out, count) -> (): out = a + b. */
export function add(): FunctionBuilder {
  return elementwise('add', (_fn, a, b) => ({ code: [], values: a.map((x, i) => f32x4.add(x, b[i]!)) }));
}

/** (gate, up, out, count) -> (): out = gate / (1 + e^-gate) * up. */
export function siluMul(features: Features): FunctionBuilder {
  return elementwise('silu_mul', (fn, gates, ups) => {
    const exps = fn.locals('v128', gates.length);
    const one = fn.constant(f32x4.constant(1));
    return {
      code: [...exps.map((e, i) => e.set(f32x4.neg(gates[i]!))), ...exponential(fn, features, exps)],
      values: gates.map((gate, i) => f32x4.mul(f32x4.div(gate, f32x4.add(exps[i]!, one)), ups[i]!)),
    };
  });
}

type Compute = (
  fn: FunctionBuilder,
  a: readonly V128[],
  b: readonly V128[],
) => { readonly code: readonly Statement[]; readonly values: readonly V128[] };

function elementwise(name: string, compute: Compute): FunctionBuilder {
  const fn = new FunctionBuilder(name);
  const [a, b, out, count] = [fn.param('i32'), fn.param('i32'), fn.param('i32'), fn.param('i32')];
  const rounds = fn.local('i32');
  const step = (numElements: number): Statement[] => [a, b, out].map((pointer) => advance(pointer, 4 * numElements));

  const eight = [0, 16].map((offset) => [v128.load(a, offset), v128.load(b, offset)] as const);
  const wide = compute(fn, eight.map(([x]) => x), eight.map(([, y]) => y));
  const single: Load = (address) => v128.load32Zero(address);
  const narrow = compute(fn, [single(a)], [single(b)]);
  fn.emit(
    rounds.set(i32.shrU(count, i32.const(3))),
    countDownFromAny(rounds, ...wide.code, ...wide.values.map((v, i) => v128.store(out, v, 16 * i)), ...step(8)),
    rounds.set(i32.and(count, i32.const(7))),
    countDownFromAny(rounds, ...narrow.code, f32.store(out, f32x4.extractLane(narrow.values[0]!, 0)), ...step(1)),
  );
  return fn;
}

/** Sixteen elements as two 256-bit pairs, then the rest one by one: the loop of reductions over a row. */
export function reduceRow(
  row: Local<'i32'>,
  count: Local<'i32'>,
  rounds: Local<'i32'>,
  steps: { readonly wide: readonly Statement[]; readonly single: readonly Statement[] },
): Statement[] {
  return [
    rounds.set(i32.shrU(count, i32.const(4))),
    countDownFromAny(rounds, ...steps.wide, advance(row, 64)),
    rounds.set(i32.and(count, i32.const(15))),
    countDownFromAny(rounds, ...steps.single, advance(row, 4)),
  ];
}
