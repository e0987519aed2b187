/** Brings a token's activations into the layout of packing/activation-layout.ts, quantizing on the way.
 *
 *   level = round(x / scale),  scale = largest |x| of the 32 / largest level
 *
 * A block of zeros gets the scale 0, and what its levels are does not matter: 0 / 0 is NaN, whose bits narrow to the largest
 * or smallest level. Nor does it where |x| is so small (1e-34 and less) that levels / |x| is infinite: each value then comes
 * out as large as the largest at most. A NaN or an infinity makes the scale NaN and through it every output of the row, as it
 * should. */
import type { I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance, countDown, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32 } from '../emitter/scalar.ts';
import { f32x4, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { HALF_PRESCALE } from './half-floats.ts';

/** Of 32 values. */
export const BLOCK_BYTES = 32 * 4;

/** (x, levels, scale, recordBytes, numBlocks) -> (): 16-bit levels. */
export function quantizeToI16(): FunctionBuilder {
  const fn = new FunctionBuilder('quantize_i16');
  const { x, levels, scale, recordBytes, numBlocks } = fn.params('x', 'levels', 'scale', 'recordBytes', 'numBlocks');
  const [max, inverse] = [fn.local('v128'), fn.local('v128')];
  const eight = (first: number): V128 =>
    i16x8.narrowI32x4S(toLevels(fn, inverse, x, first), toLevels(fn, inverse, x, first + 1));
  fn.emit(
    countDown(
      numBlocks,
      ...largestMagnitude(fn, x, BLOCK_BYTES / 16, max),
      ...scaleBy(fn, max, 32767, { scale, inverse }),
      ...[0, 1, 2, 3].map((i) => v128.store(levels, eight(2 * i), i * 16)),
      ...[levels, scale].map((pointer) => advance(pointer, recordBytes)),
      advance(x, BLOCK_BYTES),
    ),
  );
  return fn;
}

/** Lanes 2, 3, 0, 1 and 1, 0, 3, 2, as bytes. */
export const SWAP_HALVES = [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7];
const SWAP_NEIGHBOURS = [4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11];

/** The largest |x| of `numVectors` vectors to all lanes of `max`; NaN when there is one among them. Patterns of magnitudes
 * are ordered as whole numbers, NaN above infinity, and those have a maximum of one instruction where floats need many and a
 * branch, which would be mispredicted half of the time. */
export function largestMagnitude(fn: FunctionBuilder, x: I32, numVectors: number, max: Local<'v128'>): Statement[] {
  const most = [max, ...fn.locals('v128', 3)];
  const magnitude = (i: number): V128 => magnitudeOf(fn, v128.load(x, i * 16));
  const code: Statement[] = [];
  for (let i = 0; i < numVectors; i++) {
    const chain = most[i % 4]!;
    code.push(chain.set(i < 4 ? magnitude(i) : i32x4.maxU(chain, magnitude(i))));
  }
  return [...code, ...most.slice(1).map((chain) => max.set(i32x4.maxU(max, chain))), ...largestOfLanes(max)];
}

function magnitudeOf(fn: FunctionBuilder, x: V128): V128 {
  return v128.and(x, fn.constant(i32x4.splat(0x7fffffff)));
}

/** To all lanes. */
export function largestOfLanes(max: Local<'v128'>): Statement[] {
  return [SWAP_HALVES, SWAP_NEIGHBOURS].map((lanes) => max.set(i32x4.maxU(max, v128.shuffle(max, max, lanes))));
}

/** Stores the scale of a block whose largest magnitude is `max`, and sets all lanes of `inverse` to 1 / scale. Infinity minus
 * itself is NaN: what level an infinity gets would depend on the sign that a CPU gives to NaN. */
export function scaleBy(
  fn: FunctionBuilder,
  max: Local<'v128'>,
  maxLevel: number,
  { scale, inverse }: { readonly scale: I32; readonly inverse: Local<'v128'> },
): Statement[] {
  const [toScale, levels] = [
    fn.constant(f32x4.constant(HALF_PRESCALE / maxLevel)),
    fn.constant(f32x4.constant(maxLevel)),
  ];
  const scales = f32x4.add(f32x4.mul(max, toScale), f32x4.sub(max, max));
  return [f32.store(scale, f32x4.extractLane(scales, 0)), inverse.set(f32x4.div(levels, max))];
}

/** Vector `vector` of the values at `x` as levels. */
export function toLevels(fn: FunctionBuilder, inverse: V128, x: Local<'i32'>, vector: number): V128 {
  return toWholeNumbers(fn, f32x4.mul(v128.load(x, vector * 16), inverse));
}

/** Adding 1.5 * 2^23 rounds to whole numbers, ties to even, and leaves those in the low bits. */
export function toWholeNumbers(fn: FunctionBuilder, x: V128): V128 {
  const rounder = fn.constant(f32x4.constant(ROUNDER));
  return i32x4.sub(f32x4.add(x, rounder), rounder);
}

export const ROUNDER = 1.5 * 2 ** 23;

/** (x, out, recordBytes, numRecords, scale f32) -> (): one token's values, four to a record, each times `scale`. */
export function spreadFloats(): FunctionBuilder {
  const fn = new FunctionBuilder('spread_f32');
  const { x, out, recordBytes, numRecords } = fn.params('x', 'out', 'recordBytes', 'numRecords');
  const scale = fn.param('f32');
  const four = f32x4.mul(v128.load(x), f32x4.splat(scale));
  fn.emit(countDownFromAny(numRecords, v128.store(out, four), advance(x, 16), advance(out, recordBytes)));
  return fn;
}
