/** Rotates one head: pairs (a, b) become (a cos - b sin, a sin + b cos). The table holds cos, sin, cos, sin, ...
 * Scalar code: a model's rotary work is some thousandth of its matmuls. */
import { advance, countDown } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';

/** (x, table, numPairs, pairBytes, partnerBytes) -> (), in place. `pairBytes`: from one pair's first element to the
 * next's; `partnerBytes`: from a pair's first element to its second. */
export function rope(): FunctionBuilder {
  const fn = new FunctionBuilder('rope');
  const [x, table, numPairs, pairBytes, partnerBytes] = Array.from({ length: 5 }, () => fn.param('i32'));
  const [a, b] = [fn.local('f32'), fn.local('f32')];
  const partner = fn.local('i32');
  const [cos, sin] = [f32.load(table!), f32.load(table!, 4)];
  fn.emit(
    partner.set(i32.add(x!, partnerBytes!)),
    countDown(
      numPairs!,
      a.set(f32.load(x!)),
      b.set(f32.load(partner)),
      f32.store(x!, f32.sub(f32.mul(a, cos), f32.mul(b, sin))),
      f32.store(partner, f32.add(f32.mul(a, sin), f32.mul(b, cos))),
      advance(x!, pairBytes!),
      advance(partner, pairBytes!),
      advance(table!, 8),
    ),
  );
  return fn;
}
