/** One row of layer norm: mean, variance of the differences, then every element.
 *
 * The mean is found twice. The first, summed in f32, may be off by some units in the last place of numbers as large as
 * the elements; the second, of what the elements differ from the first by, is what it is off by. With it, rows whose
 * mean is far larger than their spread keep their digits, as in the reference, which sums in f64.
 * The order of the sums depends only on the row's length. */
import type { F32, Local, Statement } from '../emitter/code.ts';
import { advance, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { type Features, multiplyAdd, sumOfLanes } from './arithmetic.ts';
import { storeVectors } from './store-vectors.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

/** (x, weight, bias, out, count, inverseCount f32, eps f32) -> (). `out` may be `x`. */
export function layerNorm(features: Features): FunctionBuilder {
  const fn = new FunctionBuilder('layer_norm');
  const { x, weight, bias, out, count } = fn.params('x', 'weight', 'bias', 'out', 'count');
  const [inverseCount, eps] = [fn.param('f32'), fn.param('f32')];
  const [row, rounds] = fn.locals('i32', 2) as [I, I];
  const [mean, offset, rest, restOfSquares, difference, scale] = fn.locals('f32', 6) as F32Locals;
  const [sums, squares, pair] = [0, 1, 2].map(() => fn.locals('v128', 2)) as [V[], V[], V[]];
  const [means, offsets, scales] = fn.locals('v128', 3) as [V, V, V];
  const overRow = (eight: readonly Statement[], one: readonly Statement[]): Statement[] => [
    row.set(x),
    rounds.set(i32.shrU(count, i32.const(3))),
    countDownFromAny(rounds, ...eight, advance(row, 32)),
    rounds.set(i32.and(count, i32.const(7))),
    countDownFromAny(rounds, ...one, advance(row, 4)),
  ];
  const meanOf = (pairs: readonly V[], left: F32): F32 => f32.mul(f32.add(sumOfLanes(pairs[0]!), left), inverseCount);
  const addPair = ([low, high]: readonly V[]): Statement => low!.set(f32x4.add(low!, high!));
  const zero = fn.constant(f32x4.constant(0));
  fn.emit(
    ...overRow(
      sums.map((sum, i) => sum.set(f32x4.add(sum, v128.load(row, 16 * i)))),
      [rest.set(f32.add(rest, f32.load(row)))],
    ),
    addPair(sums),
    mean.set(meanOf(sums, rest)),
    means.set(f32x4.splat(mean)),
    ...sums.map((sum) => sum.set(zero)),
    rest.set(f32.const(0)),
    ...overRow(
      [
        ...pair.map((half, i) => half.set(f32x4.sub(v128.load(row, 16 * i), means))),
        ...sums.map((sum, i) => sum.set(f32x4.add(sum, pair[i]!))),
        ...squares.map((sum, i) => sum.set(multiplyAdd(features, pair[i]!, pair[i]!, sum))),
      ],
      [
        difference.set(f32.sub(f32.load(row), mean)),
        rest.set(f32.add(rest, difference)),
        restOfSquares.set(f32.add(restOfSquares, f32.mul(difference, difference))),
      ],
    ),
    addPair(sums),
    addPair(squares),
    offset.set(meanOf(sums, rest)),
    offsets.set(f32x4.splat(offset)),
    scale.set(f32.sub(meanOf(squares, restOfSquares), f32.mul(offset, offset))),
    scale.set(f32.div(f32.const(1), f32.sqrt(f32.add(scale, eps)))),
    scales.set(f32x4.splat(scale)),
  );

  const step = (bytes: number) => [x, weight, bias, out].map((pointer) => advance(pointer, bytes));
  const normalized = (i: number) => f32x4.mul(f32x4.sub(f32x4.sub(v128.load(x, 16 * i), means), offsets), scales);
  const one = f32.mul(f32.sub(f32.sub(f32.load(x), mean), offset), scale);
  fn.emit(
    rounds.set(i32.shrU(count, i32.const(3))),
    countDownFromAny(
      rounds,
      ...pair.map((half, i) =>
        half.set(multiplyAdd(features, normalized(i), v128.load(weight, 16 * i), v128.load(bias, 16 * i))),
      ),
      ...storeVectors(out, pair),
      ...step(32),
    ),
    rounds.set(i32.and(count, i32.const(7))),
    countDownFromAny(rounds, f32.store(out, f32.add(f32.mul(one, f32.load(weight)), f32.load(bias))), ...step(4)),
  );
  return fn;
}

type F = Local<'f32'>;
type F32Locals = [F, F, F, F, F, F];
