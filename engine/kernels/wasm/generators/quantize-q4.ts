/** Rounds activations for Q4_0: 32 values to 8-bit levels, with a scale that is a whole multiple of the row's unit.
 *
 *   x = unit * factor * level      unit: a power of two, of the row      factor: 0 to 16513, of the block
 *
 * The kernel then multiplies by a block's scale in whole numbers, in the instruction that adds two 16-bit sums, and by the
 * unit when all of a row is added up (matmul-q4-0.ts). The factor of a row's largest block is at least 8256, so that next to
 * nothing is lost by rounding factors up: levels are as fine as with any scale, but in blocks whose values are all below
 * 2^-13 of the row's largest.
 *
 * A block of zeros gets the factor 0, and what its levels are does not matter. A NaN or an infinity makes the unit NaN and
 * through it every output of the row. */
import type { I32, Local, V128 } from '../emitter/code.ts';
import { advance, countDown } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, i8x16, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { HALF_PRESCALE } from './half-floats.ts';
import { BLOCK_BYTES, largestMagnitude, ROUNDER, toLevels } from './pack-activations.ts';

const MAX_LEVEL = 127;
/** 127 * 16513 is just above 2^21, and the largest value below 2 to the power of its exponent + 1. */
const FACTOR_BITS = 20;
const [EXPONENT, ONE_EXPONENT] = [0x7f800000, 1 << 23];

/** (x, numBlocks) -> the unit of a row, f32, times HALF_PRESCALE. */
export function unitOfRow(): FunctionBuilder {
  const fn = new FunctionBuilder('unit_of_row');
  const { x, numBlocks } = fn.params('x', 'numBlocks');
  const [max, ofBlock] = fn.locals('v128', 2) as [Local<'v128'>, Local<'v128'>];
  fn.emit(
    countDown(
      numBlocks,
      ...largestMagnitude(fn, x, BLOCK_BYTES / 16, ofBlock),
      max.set(i32x4.maxS(max, ofBlock)),
      advance(x, BLOCK_BYTES),
    ),
  );
  const exponent = i32x4.sub(v128.and(max, i32x4.splat(EXPONENT)), i32x4.splat(FACTOR_BITS * ONE_EXPONENT));
  // Not a denormal; and infinity minus itself is NaN.
  const unit = f32x4.add(i32x4.maxS(exponent, i32x4.splat(ONE_EXPONENT)), f32x4.sub(max, max));
  fn.returns(f32.mul(f32x4.extractLane(unit, 0), f32.const(HALF_PRESCALE)));
  return fn;
}

/** (x, levels, factors, recordBytes, numBlocks, sum, unit f32) -> (): levels, the factor twice in 16 bits, 8 * factor times
 * the levels' sum, and behind it the unit. */
export function quantizeToI8(): FunctionBuilder {
  const fn = new FunctionBuilder('quantize_i8');
  const { x, levels, factors, recordBytes, numBlocks, sum } = fn.params(
    'x',
    'levels',
    'factors',
    'recordBytes',
    'numBlocks',
    'sum',
  );
  const unit = fn.param('f32');
  const perUnit = fn.local('v128');
  const max = fn.local('v128');
  const rounded = fn.local('v128');
  const inverse = fn.local('v128');
  const factor = fn.local('v128');
  const sums = fn.local('v128');
  const sixteen = fn.locals('v128', 2);
  const rounder = fn.constant(f32x4.constant(ROUNDER));
  const half = fn.constant(f32x4.constant(0.5));
  const perLevel = fn.constant(f32x4.constant(1 / MAX_LEVEL));
  const eight = (first: number): V128 =>
    i16x8.narrowI32x4S(toLevels(fn, inverse, x, first), toLevels(fn, inverse, x, first + 1));
  const wide = (vector: V128): V128 => i32x4.extaddPairwiseI16x8S(i16x8.extaddPairwiseI8x16S(vector));
  const lane = (i: number): I32 => i32x4.extractLane(sums, i);
  fn.emit(
    perUnit.set(f32x4.splat(f32.div(f32.const(HALF_PRESCALE), unit))),
    countDown(
      numBlocks,
      ...largestMagnitude(fn, x, BLOCK_BYTES / 16, max),
      // Up to a whole number, by rounding what is half more.
      rounded.set(f32x4.add(f32x4.add(f32x4.mul(f32x4.mul(max, perUnit), perLevel), half), rounder)),
      factor.set(i32x4.sub(rounded, rounder)),
      inverse.set(f32x4.div(perUnit, f32x4.sub(rounded, rounder))),
      ...sixteen.flatMap((vector, i) => [
        vector.set(i8x16.narrowI16x8S(eight(4 * i), eight(4 * i + 2))),
        v128.store(levels, vector, i * 16),
      ]),
      sums.set(i32x4.add(wide(sixteen[0]!), wide(sixteen[1]!))),
      i32.store(
        sum,
        i32.mul(
          i32.shl(i32.add(i32.add(lane(0), lane(1)), i32.add(lane(2), lane(3))), i32.const(3)),
          i32x4.extractLane(factor, 0),
        ),
      ),
      f32.store(sum, unit, 4),
      i32.store(factors, i32x4.extractLane(v128.or(factor, i32x4.shl(factor, 16)), 0)),
      ...[levels, factors, sum].map((pointer) => advance(pointer, recordBytes)),
      advance(x, BLOCK_BYTES),
    ),
  );
  return fn;
}
