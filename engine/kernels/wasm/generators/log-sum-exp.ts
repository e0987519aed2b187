/** The two passes over a row of logits that its log-probabilities need. The sum is kept in f64: of a row in which one
 * token has nearly all, the others' small shares are what the logarithm is about. */
import { advance, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, f64, i32 } from '../emitter/scalar.ts';
import { f32x4, f64x2, v128 } from '../emitter/simd.ts';
import { exponential, type Features } from './arithmetic.ts';

/** (row, count) -> f32: the largest element; NaN when there is one; -Infinity when count is 0. */
export function rowMax(): FunctionBuilder {
  const fn = new FunctionBuilder('row_max');
  const [row, count] = [fn.param('i32'), fn.param('i32')];
  const rounds = fn.local('i32');
  const max = fn.local('f32');
  const four = fn.local('v128');
  const lane = (i: number) => f32x4.extractLane(four, i);
  fn.emit(
    max.set(f32.const(Number.NEGATIVE_INFINITY)),
    four.set(f32x4.splat(max)),
    rounds.set(i32.shrU(count, i32.const(2))),
    countDownFromAny(rounds, four.set(f32x4.max(four, v128.load(row))), advance(row, 16)),
    rounds.set(i32.and(count, i32.const(3))),
    countDownFromAny(rounds, max.set(f32.max(max, f32.load(row))), advance(row, 4)),
  );
  fn.returns(f32.max(max, f32.max(f32.max(lane(0), lane(1)), f32.max(lane(2), lane(3)))));
  return fn;
}

/** (row, count, max f32) -> f64: the sum of e^(element - max). */
export function sumOfExponentials(features: Features): FunctionBuilder {
  const fn = new FunctionBuilder('sum_exp');
  const [row, count] = [fn.param('i32'), fn.param('i32')];
  const max = fn.param('f32');
  const rounds = fn.local('i32');
  const maxes = fn.local('v128');
  const terms = fn.locals('v128', 1);
  const total = fn.local('v128');
  const rest = fn.local('f64');
  const [term] = terms as [(typeof terms)[number]];
  const upper = v128.shuffle(term, term, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]);
  fn.emit(
    maxes.set(f32x4.splat(max)),
    rounds.set(i32.shrU(count, i32.const(2))),
    countDownFromAny(
      rounds,
      term.set(f32x4.sub(v128.load(row), maxes)),
      ...exponential(fn, features, terms),
      total.set(f64x2.add(total, f64x2.add(f64x2.promoteLowF32x4(term), f64x2.promoteLowF32x4(upper)))),
      advance(row, 16),
    ),
    rounds.set(i32.and(count, i32.const(3))),
    countDownFromAny(
      rounds,
      term.set(f32x4.sub(v128.load32Zero(row), maxes)),
      ...exponential(fn, features, terms),
      rest.set(f64.add(rest, f64.promoteF32(f32x4.extractLane(term, 0)))),
      advance(row, 4),
    ),
  );
  fn.returns(f64.add(f64.add(f64x2.extractLane(total, 0), f64x2.extractLane(total, 1)), rest));
  return fn;
}
