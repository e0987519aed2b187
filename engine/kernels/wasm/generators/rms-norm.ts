/** One row of RMS norm: the mean of squares, then every element times 1 / root and its weight.
 * The order of the sum depends only on the row's length: sixteen partial sums for the bulk, a scalar for the rest. */
import { advance, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { type Features, multiplyAdd, sumOfLanes } from './arithmetic.ts';
import { reduceRow } from './elementwise.ts';

/** (x, weight, out, count, inverseCount f32, eps f32) -> (). A weight at address 0 is all ones. `out` may be `x`. */
export function rmsNorm(features: Features): FunctionBuilder {
  const fn = new FunctionBuilder('rms_norm');
  const [x, weight, out, count] = [fn.param('i32'), fn.param('i32'), fn.param('i32'), fn.param('i32')];
  const [inverseCount, eps] = [fn.param('f32'), fn.param('f32')];
  const sums = fn.locals('v128', 4);
  const rest = fn.local('f32');
  const [row, rounds] = [fn.local('i32'), fn.local('i32')];
  const scale = fn.local('f32');
  const scales = fn.local('v128');

  const square = reduceRow(row, count, rounds, {
    wide: sums.map((sum, i) => sum.set(multiplyAdd(features, v128.load(row, i * 16), v128.load(row, i * 16), sum))),
    single: [rest.set(f32.add(rest, f32.mul(f32.load(row), f32.load(row))))],
  });
  const pairs = [f32x4.add(sums[0]!, sums[2]!), f32x4.add(sums[1]!, sums[3]!)] as const;
  const meanOfSquares = f32.mul(f32.add(sumOfLanes(sums[0]!), rest), inverseCount);
  fn.emit(
    row.set(x),
    ...square,
    sums[0]!.set(f32x4.add(...pairs)),
    scale.set(f32.div(f32.const(1), f32.sqrt(f32.add(meanOfSquares, eps)))),
    scales.set(f32x4.splat(scale)),
  );

  const hasWeight = i32.geU(weight, i32.const(1));
  const step = (bytes: number) => [advance(x, bytes), advance(out, bytes), advance(weight, bytes)];
  const wide = [0, 16].map((offset) => {
    const scaled = f32x4.mul(v128.load(x, offset), scales);
    return { scaled, weighted: f32x4.mul(scaled, v128.load(weight, offset)), offset };
  });
  const scaled = f32.mul(f32.load(x), scale);
  const passes = [
    {
      condition: hasWeight,
      wide: wide.map(({ weighted, offset }) => v128.store(out, weighted, offset)),
      single: f32.store(out, f32.mul(scaled, f32.load(weight))),
    },
    {
      condition: i32.eq(weight, i32.const(0)),
      wide: wide.map(({ scaled, offset }) => v128.store(out, scaled, offset)),
      single: f32.store(out, scaled),
    },
  ];
  void passes;
  void step;
  void countDownFromAny;
  return fn;
}
