/** f16 and bf16 to f32, four at a time.
 *
 *   f16 bits               seee eeff ffff ffff
 *   shifted up 16          seee eeff ffff ffff 0000 ...
 *   down 3, sign kept      ssss eeee efff ffff fff0 ...     the exponent's 5 bits now end where an f32's do
 *   & 0x8fffe000           s000 eeee efff ffff fff0 ...     = the value times 2^-112, as the biases differ (127 - 15)
 *
 * The missing 2^112 is made up elsewhere, where it costs nothing: whatever the value is multiplied with carries
 * `HALF_PRESCALE`, and the finished sum is multiplied by `HALF_POSTSCALE`. Both are powers of two and so round nothing.
 * They are split so that neither side can overflow: 2^112 on an activation would leave it 2^16 of room.
 * f16 denormals (below 6e-5) are f32 denormals here: exact, but slow on some CPUs. f16 infinities and NaN would come out
 * as finite numbers, which is why packing refuses them. */
import type { I32, V128 } from '../emitter/code.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32x4, v128 } from '../emitter/simd.ts';

export const HALF_PRESCALE = 2 ** 96;
export const HALF_POSTSCALE = 2 ** 16;

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
