/** Numbers times a power of two, or any other factor. */
import type { F32, Local, Statement } from '../emitter/code.ts';
import { advance, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { storeVectors } from './store-vectors.ts';

/** (source, target, count, factor f32) -> (): `count` numbers; `target` may be `source`. */
export function scaleFloats(): FunctionBuilder {
  const fn = new FunctionBuilder('scale_floats');
  const { source, target, count } = fn.params('source', 'target', 'count');
  const factor = fn.param('f32');
  fn.emit(...scaleRow(fn, { source, target, count, factor }));
  return fn;
}

/** `count` numbers, from `source` to `target`: both are moved on, `count` is kept. */
export function scaleRow(
  fn: FunctionBuilder,
  row: Readonly<Record<'source' | 'target' | 'count', Local<'i32'>>> & { readonly factor: F32 },
): Statement[] {
  const { source, target, count, factor } = row;
  const rounds = fn.local('i32');
  const factors = fn.local('v128');
  const four = fn.locals('v128', 4);
  const step = (bytes: number) => [advance(source, bytes), advance(target, bytes)];
  return [
    factors.set(f32x4.splat(factor)),
    rounds.set(i32.shrU(count, i32.const(4))),
    countDownFromAny(
      rounds,
      ...four.map((x, i) => x.set(f32x4.mul(v128.load(source, 16 * i), factors))),
      ...storeVectors(target, four),
      ...step(64),
    ),
    rounds.set(i32.and(count, i32.const(15))),
    countDownFromAny(rounds, f32.store(target, f32.mul(f32.load(source), factor)), ...step(4)),
  ];
}
