/** One row of RMS norm: the mean of squares, then every element times 1 / root and its weight.
 * The order of the sum depends only on the row's length: sixteen partial sums for the bulk, a scalar for the rest. */
import { advance, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { type Features, multiplyAdd, sumOfLanes } from './arithmetic.ts';
import { storeVectors } from './store-vectors.ts';

/** (x, weight, out, count, inverseCount f32, eps f32) -> (). `out` may be `x`. */
export function rmsNorm(features: Features): FunctionBuilder {
  const fn = new FunctionBuilder('rms_norm');
  const [x, weight, out, count] = [fn.param('i32'), fn.param('i32'), fn.param('i32'), fn.param('i32')];
  const [inverseCount, eps] = [fn.param('f32'), fn.param('f32')];
  const sums = fn.locals('v128', 4);
  const rest = fn.local('f32');
  const [row, rounds] = [fn.local('i32'), fn.local('i32')];
  const scale = fn.local('f32');
  const scales = fn.local('v128');

  const sixteen = sums.map((sum, i) =>
    sum.set(multiplyAdd(features, v128.load(row, i * 16), v128.load(row, i * 16), sum)),
  );
  const meanOfSquares = f32.mul(f32.add(sumOfLanes(sums[0]!), rest), inverseCount);
  fn.emit(
    row.set(x),
    rounds.set(i32.shrU(count, i32.const(4))),
    countDownFromAny(rounds, ...sixteen, advance(row, 64)),
    rounds.set(i32.and(count, i32.const(15))),
    countDownFromAny(rounds, rest.set(f32.add(rest, f32.mul(f32.load(row), f32.load(row)))), advance(row, 4)),
    sums[0]!.set(f32x4.add(sums[0]!, sums[2]!)),
    sums[1]!.set(f32x4.add(sums[1]!, sums[3]!)),
    sums[0]!.set(f32x4.add(sums[0]!, sums[1]!)),
    scale.set(f32.div(f32.const(1), f32.sqrt(f32.add(meanOfSquares, eps)))),
    scales.set(f32x4.splat(scale)),
  );

  const step = (bytes: number) => [x, out, weight].map((pointer) => advance(pointer, bytes));
  const pair = fn.locals('v128', 2);
  const scaled = (offset: number) => f32x4.mul(f32x4.mul(v128.load(x, offset), scales), v128.load(weight, offset));
  fn.emit(
    rounds.set(i32.shrU(count, i32.const(3))),
    countDownFromAny(
      rounds,
      ...pair.map((half, h) => half.set(scaled(16 * h))),
      ...storeVectors(out, pair),
      ...step(32),
    ),
    rounds.set(i32.and(count, i32.const(7))),
    countDownFromAny(rounds, f32.store(out, f32.mul(f32.mul(f32.load(x), scale), f32.load(weight))), ...step(4)),
  );
  return fn;
}
