/** f16 and bf16 to f32 and f32 to f16, four at a time.
 *
 *   f16 bits               seee eeff ffff ffff
 *   shifted up 16          seee eeff ffff ffff 0000 ...
 *   down 3, sign kept      ssss eeee efff ffff fff0 ...     the exponent's 5 bits now end where an f32's do
 *   & 0x8fffe000           s000 eeee efff ffff fff0 ...     = the value times 2^-112, as the biases differ (127 - 15)
 *
 * The missing 2^112 is made up elsewhere, where it costs nothing: whatever the value is multiplied with carries
 * `HALF_PRESCALE`, and the finished sum is multiplied by `HALF_POSTSCALE`. Both are powers of two and so round nothing.
 * They are split so that neither side can overflow: 2^112 on an activation would leave it 2^16 of room.
 * f16 denormals (below 6e-5) are f32 denormals here: exact, but slow on some CPUs. f16 infinities and NaN come out as
 * finite numbers, which is why packing refuses them. Where they must be read (a KV cache holds what activations were),
 * `widenHalves` takes four instructions more. */
import type { I32, Local, Statement, V128 } from '../emitter/code.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32x4, i32x4, v128 } from '../emitter/simd.ts';

export const HALF_PRESCALE = 2 ** 96;
export const HALF_POSTSCALE = 2 ** 16;
/** What is left of a value where nothing makes up for it. */
export const HALF_SHRINKAGE = 2 ** -112;

/** Four f16 as f32, each 2^-112 of its value. */
export function loadF16x4(fn: FunctionBuilder, address: I32, byteOffset: number): V128 {
  const mask = fn.constant(i32x4.splat(0x8fffe000));
  return v128.and(i32x4.shrS(i32x4.shl(i32x4.load16x4U(address, byteOffset), 16), 3), mask);
}

/** Four bf16 as f32. A bf16 is the upper half of an f32. */
export function loadBf16x4(_fn: FunctionBuilder, address: I32, byteOffset: number): V128 {
  return i32x4.shl(i32x4.load16x4U(address, byteOffset), 16);
}

export function loadF32x4(_fn: FunctionBuilder, address: I32, byteOffset: number): V128 {
  return v128.load(address, byteOffset);
}

/** f16 patterns, one in each 32-bit lane (what lies above its 16 bits does not matter), to the f32 of the same value, in
 * place: zeros, denormals, infinities and NaN too. Of a NaN the sign and the payload stay.
 *
 * Exponent 31 is 65536 or more after the shift by 2^112, which no finite f16 is; all ones in the exponent then make it
 * the infinity or the NaN that its fraction says. */
export function widenHalves(fn: FunctionBuilder, xs: readonly V[]): Statement[] {
  const [mask, bias] = [fn.constant(i32x4.splat(0x8fffe000)), fn.constant(f32x4.constant(2 ** 112))];
  return [
    ...xs.map((x) => x.set(v128.and(i32x4.shrS(i32x4.shl(x, 16), 3), mask))),
    ...xs.map((x) => x.set(f32x4.mul(x, bias))),
    ...restoreSpecials(fn, xs, 65536),
  ];
}

/** f16 patterns that fill their lanes as signed numbers (`i32x4.load16x4S`) to 2^-112 of their value, in place. Only
 * finite ones: others come out as finite numbers. */
export function shrinkFiniteHalves(fn: FunctionBuilder, xs: readonly V[]): Statement[] {
  const mask = fn.constant(i32x4.splat(0x8fffe000));
  return [...xs.map((x) => x.set(i32x4.shl(x, 13))), ...xs.map((x) => x.set(v128.and(x, mask)))];
}

/** Likewise, infinities and NaN too. */
export function shrinkHalves(fn: FunctionBuilder, xs: readonly V[]): Statement[] {
  return [...shrinkFiniteHalves(fn, xs), ...restoreSpecials(fn, xs, 65536 * HALF_SHRINKAGE)];
}

/** @param limit  what exponent 31 has become: the least of it */
function restoreSpecials(fn: FunctionBuilder, xs: readonly V[], limit: number): Statement[] {
  const [least, allOnes] = [fn.constant(f32x4.constant(limit)), fn.constant(i32x4.splat(0x7f800000))];
  return xs.map((x) => x.set(v128.or(x, v128.and(f32x4.ge(f32x4.abs(x), least), allOnes))));
}

/** Not 0 where one of the f16 patterns in `x`, one or two in each 32-bit lane, is an infinity or NaN: adding 1 to an exponent
 * of 31 sets the bit above it, which is masked out before. */
export function specialHalves(fn: FunctionBuilder, x: V128): V128 {
  const word = (value: number): V128 => fn.constant(i32x4.splat(value));
  return v128.and(i32x4.add(v128.and(x, word(0x7c007c00)), word(0x04000400)), word(0x80008000));
}

/** f32 to the pattern of the nearest f16, ties to even, in place: one in the low 16 bits of each lane, zeros above.
 * Beyond 65519.99 an infinity; NaN is 0x7e00 with the NaN's sign.
 *
 * The addition rounds. 2^(e + 13) and more is added to a number of exponent e, times 4 because only so much of the
 * exponent is free: what does not fit behind the point of the sum are the bits that an f16 has no room for.
 *
 *   magnitude, through infinity    |x| * 2^112 * 2^-110            4 |x|, or infinity from 65536 on
 *   what to add                    exponent of x, at least that of 2^-14, moved up by 15
 *   bits of the sum                exponent -> 5 bits of the result; low 12 bits -> fraction, with a carry into it
 *
 * Source  M. Dukhan, FP16 library, fp16_ieee_from_fp32_value */
export function narrowFloats(fn: FunctionBuilder, xs: readonly Local<'v128'>[]): Statement[] {
  const word = (value: number): V128 => fn.constant(i32x4.splat(value));
  const [sums, signs, invalids] = [0, 1, 2].map(() => fn.locals('v128', xs.length)) as [V[], V[], V[]];
  const each = (step: (x: V, i: number) => Statement): Statement[] => xs.map(step);
  const exponent = (x: V) => i32x4.maxS(v128.and(x, word(0x7f800000)), word(0x38800000));
  const magnitude = (x: V) =>
    f32x4.mul(f32x4.mul(f32x4.abs(x), fn.constant(f32x4.constant(2 ** 112))), fn.constant(f32x4.constant(2 ** -110)));
  return [
    ...each((x, i) => signs[i]!.set(v128.and(i32x4.shrU(x, 16), word(0x8000)))),
    ...each((x, i) => invalids[i]!.set(f32x4.ne(x, x))),
    ...each((x, i) => sums[i]!.set(f32x4.add(i32x4.add(exponent(x), word(0x07800000)), magnitude(x)))),
    ...each((x, i) =>
      x.set(i32x4.add(v128.and(i32x4.shrU(sums[i]!, 13), word(0x7c00)), v128.and(sums[i]!, word(0xfff)))),
    ),
    ...each((x, i) => x.set(v128.or(v128.bitselect(word(0x7e00), x, invalids[i]!), signs[i]!))),
  ];
}

type V = Local<'v128'>;
