/** Rounds activations for Q4_0: 32 values to 8-bit levels, with a scale that is a whole multiple of the row's unit.
 *
 *   x = unit * factor * level      unit: a power of two, of the row      factor: 0 to 16513, of the block
 *
 * The kernel then multiplies by a block's scale in whole numbers, in the instruction that adds two 16-bit sums, and by the
 * unit when all of a row is added up (matmul-q4-0.ts). Rounding a factor up makes levels coarser by one part in it at most: by
 * 0.01 % in a row's largest block, and by 3 % in one a 250th as large, beside which the largest block's own rounding is 250
 * times as large.
 *
 * A block of zeros gets the factor 0, and what its levels are does not matter. A NaN or an infinity makes the unit NaN and
 * through it every output of the row. */
import type { I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance, countDown } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, i8x16, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { Q4_ACTIVATIONS, scaleOffset, sumsOffset, unitOffset } from '../packing/activation-layout.ts';
import { HALF_PRESCALE } from './half-floats.ts';
import { BLOCK_BYTES, largestMagnitude, ROUNDER, SWAP_HALVES, toLevels } from './pack-activations.ts';

const MAX_LEVEL = 127;
/** 127 * 16513 is just above 2^21, and the largest value is below 2 to the power of its exponent + 1. */
const FACTOR_BITS = 20;
const [EXPONENT, ONE_EXPONENT] = [0x7f800000, 1 << 23];
/** In a token's part of a record. */
const FACTOR = scaleOffset(Q4_ACTIVATIONS);

/** (x, out, recordBytes, numBlocks) -> (): a token's row to its parts of records. */
export function quantizeToI8(): FunctionBuilder {
  const fn = new FunctionBuilder('quantize_i8');
  const { x, out, recordBytes, numBlocks } = fn.params('x', 'out', 'recordBytes', 'numBlocks');
  const [block, record, blocks] = [fn.local('i32'), fn.local('i32'), fn.local('i32')];
  const [max, ofRow] = [fn.local('v128'), fn.local('v128')];
  const unit = fn.local('f32');
  const forEachBlock = (...code: readonly Statement[]): Statement[] => [
    block.set(x),
    record.set(out),
    blocks.set(numBlocks),
    countDown(blocks, ...code, advance(block, BLOCK_BYTES), advance(record, recordBytes)),
  ];
  const { prepare, quantize } = blockQuantizer(fn, block, record);
  fn.emit(
    // A block's largest magnitude waits where its factor is to be.
    ...forEachBlock(
      ...largestMagnitude(fn, block, BLOCK_BYTES / 16, max),
      ofRow.set(i32x4.maxS(ofRow, max)),
      f32.store(record, f32x4.extractLane(max, 0), FACTOR),
    ),
    unit.set(f32.mul(f32x4.extractLane(unitOf(ofRow), 0), f32.const(HALF_PRESCALE))),
    ...prepare(unit),
    ...forEachBlock(...quantize, f32.store(record, unit, unitOffset(Q4_ACTIVATIONS))),
  );
  return fn;
}

/** Not a denormal. Infinity minus itself is NaN. */
function unitOf(max: V128): V128 {
  const power = i32x4.sub(v128.and(max, i32x4.splat(EXPONENT)), i32x4.splat(FACTOR_BITS * ONE_EXPONENT));
  return f32x4.add(i32x4.maxS(power, i32x4.splat(ONE_EXPONENT)), f32x4.sub(max, max));
}

function blockQuantizer(fn: FunctionBuilder, x: Local<'i32'>, record: Local<'i32'>) {
  const [perUnit, perFactor] = [fn.local('v128'), fn.local('v128')];
  const [rounded, factor, inverse, sums] = [fn.local('v128'), fn.local('v128'), fn.local('v128'), fn.local('v128')];
  const sixteen = fn.locals('v128', 2);
  const rounder = fn.constant(f32x4.constant(ROUNDER));
  const half = fn.constant(f32x4.constant(0.5));
  const eight = (first: number): V128 =>
    i16x8.narrowI32x4S(toLevels(fn, inverse, x, first), toLevels(fn, inverse, x, first + 1));
  const fours = (vector: V128): V128 => i16x8.extaddPairwiseI8x16S(vector);
  const lane = (i: number): I32 => i32x4.extractLane(sums, i);
  return {
    prepare: (unit: Local<'f32'>): Statement[] => [
      perUnit.set(f32x4.splat(f32.div(f32.const(HALF_PRESCALE), unit))),
      perFactor.set(f32x4.mul(perUnit, f32x4.constant(1 / MAX_LEVEL))),
    ],
    quantize: [
      // Up to a whole number, by rounding what is half more.
      rounded.set(f32x4.add(f32x4.add(f32x4.mul(v128.load32Splat(record, FACTOR), perFactor), half), rounder)),
      factor.set(i32x4.sub(rounded, rounder)),
      factor.set(v128.or(factor, i32x4.shl(factor, 16))),
      inverse.set(f32x4.div(perUnit, f32x4.sub(rounded, rounder))),
      ...sixteen.flatMap((vector, i) => [
        vector.set(i8x16.narrowI16x8S(eight(4 * i), eight(4 * i + 2))),
        v128.store(record, vector, i * 16),
      ]),
      sums.set(i32x4.dotI16x8S(i16x8.add(fours(sixteen[0]!), fours(sixteen[1]!)), factor)),
      sums.set(i32x4.add(sums, v128.shuffle(sums, sums, SWAP_HALVES))),
      i32.store(record, i32.shl(i32.add(lane(0), lane(1)), i32.const(3)), sumsOffset(Q4_ACTIVATIONS)),
      i32.store(record, i32x4.extractLane(factor, 0), FACTOR),
    ],
  };
}
