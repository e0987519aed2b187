/** The two passes over a segment of logits that a draw needs: its highest, and the sum of exponentials, in f64 throughout. */

import type { Local, Statement } from '../emitter/code.ts';
import { advance, countDownFromAny, when } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, f64, i32 } from '../emitter/scalar.ts';
import { f32x4, f64x2, i64x2, v128 } from '../emitter/simd.ts';
import { type Features, multiplyAddWide } from './arithmetic.ts';

/** (row, count) -> f32: the largest element that is a number; -Infinity when there is none. */
export function highest(): FunctionBuilder {
  const fn = new FunctionBuilder('highest');
  const [row, count] = [fn.param('i32'), fn.param('i32')];
  const rounds = fn.local('i32');
  const max = fn.local('f32');
  const four = fn.local('v128');
  const lane = (i: number) => f32x4.extractLane(four, i);
  fn.emit(
    max.set(f32.const(Number.NEGATIVE_INFINITY)),
    four.set(f32x4.splat(max)),
    rounds.set(i32.shrU(count, i32.const(2))),
    countDownFromAny(rounds, four.set(f32x4.pmax(four, v128.load(row))), advance(row, 16)),
    rounds.set(i32.and(count, i32.const(3))),
    countDownFromAny(rounds, when(f32.gt(f32.load(row), max), max.set(f32.load(row))), advance(row, 4)),
  );
  fn.returns(f32.max(max, f32.max(f32.max(lane(0), lane(1)), f32.max(lane(2), lane(3)))));
  return fn;
}

/** (row, count, max f32, scale f64) -> f64: the sum of e^((element - max) * scale), for scale > 0 and no element above max.
 * NaN adds nothing that shows. */
export function sumOfWideExponentials(features: Features): FunctionBuilder {
  const fn = new FunctionBuilder('sum_wide_exp');
  const [row, count] = [fn.param('i32'), fn.param('i32')];
  const [max, scale] = [fn.param('f32'), fn.param('f64')];
  const rounds = fn.local('i32');
  const [maxes, scales] = [fn.local('v128'), fn.local('v128')];
  const four = fn.local('v128');
  const terms = fn.locals('v128', 2);
  const totals = fn.locals('v128', 2);
  const [low, high] = terms as [Local<'v128'>, Local<'v128'>];
  const upper = v128.shuffle(four, four, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]);
  const exponentialsOf = (xs: readonly Local<'v128'>[]): Statement[] => [
    ...xs.map((x) => x.set(f64x2.mul(f64x2.sub(x, maxes), scales))),
    ...wideExponential(fn, features, xs),
  ];
  fn.emit(
    maxes.set(f64x2.splat(f64.promoteF32(max))),
    scales.set(f64x2.splat(scale)),
    rounds.set(i32.shrU(count, i32.const(2))),
    countDownFromAny(
      rounds,
      four.set(v128.load(row)),
      low.set(f64x2.promoteLowF32x4(four)),
      high.set(f64x2.promoteLowF32x4(upper)),
      ...exponentialsOf(terms),
      ...totals.map((total, i) => total.set(f64x2.add(total, terms[i]!))),
      advance(row, 16),
    ),
    totals[0]!.set(f64x2.add(totals[0]!, totals[1]!)),
    rounds.set(i32.and(count, i32.const(3))),
    scale.set(f64.add(f64x2.extractLane(totals[0]!, 0), f64x2.extractLane(totals[0]!, 1))),
    countDownFromAny(
      rounds,
      low.set(f64x2.promoteLowF32x4(v128.load32Zero(row))),
      ...exponentialsOf([low]),
      scale.set(f64.add(scale, f64x2.extractLane(low, 0))),
      advance(row, 4),
    ),
  );
  fn.returns(scale);
  return fn;
}

/** e^x of vectors of f64 at once, in place, for x up to 0, to about 1e-15 of the result. Below -700, and for NaN, it is some
 * 1e-304 in place of less. As `exponential` of arithmetic.ts, with wider numbers:
 *
 *   e^x = 2^n * e^r    n = round(x / ln 2),  r = x - n ln 2 in two steps,  e^r by its series to r^12
 *
 * Source  fdlibm, e_exp.c (the two parts of ln 2) */
function wideExponential(fn: FunctionBuilder, features: Features, xs: readonly Local<'v128'>[]): Statement[] {
  const k = (value: number) => fn.constant(f64x2.constant(value));
  const rounded = fn.locals('v128', xs.length);
  const sums = fn.locals('v128', xs.length);
  const statements: Statement[] = [];
  const each = (step: (x: Local<'v128'>, n: Local<'v128'>, sum: Local<'v128'>) => Statement) => {
    xs.forEach((x, i) => {
      statements.push(step(x, rounded[i]!, sums[i]!));
    });
  };
  each((x) => x.set(f64x2.pmax(k(-700), x)));
  each((x, n) => n.set(f64x2.add(f64x2.mul(x, k(Math.LOG2E)), k(ROUNDER))));
  each((_, n, sum) => sum.set(f64x2.sub(n, k(ROUNDER))));
  each((x, _, sum) => x.set(f64x2.sub(x, f64x2.mul(sum, k(LN2_HIGH)))));
  each((x, _, sum) => x.set(f64x2.sub(x, f64x2.mul(sum, k(LN2_LOW)))));
  each((_x, _, sum) => sum.set(k(SERIES[0]!)));
  for (const coefficient of SERIES.slice(1)) {
    each((x, _, sum) => sum.set(multiplyAddWide(features, sum, x, k(coefficient))));
  }
  each((x, n, sum) => x.set(f64x2.mul(sum, i64x2.shl(n, 52))));
  return statements;
}

/** Rounds to a whole number that lies in the low bits, the exponent's bias with it. */
const ROUNDER = 1.5 * 2 ** 52 + 1023;
/** ln 2 = HIGH + LOW. HIGH has so few bits that n * HIGH is exact. */
const LN2_HIGH = 6.931471803691238e-1;
const LN2_LOW = 1.9082149292705877e-10;
/** 1 / k! for k from 12 down to 0. */
const SERIES: readonly number[] = Array.from({ length: 13 }, (_, i) => {
  let factorial = 1;
  for (let k = 2; k <= 12 - i; k++) factorial *= k;
  return 1 / factorial;
});
