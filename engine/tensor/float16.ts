/** The two 16-bit float formats, to and from 32 bits, one value or many at a time.
 *
 *             sign exponent fraction
 *   f16   bit  15   14..10   9..0     IEEE 754 binary16: 11 significant bits, 6e-8 to 65504
 *   bf16  bit  15   14..7    6..0     the upper half of an f32: 8 significant bits, an f32's range
 *
 * Both round to nearest, ties to even, as ggml does. Rounding to f16 comes from the runtime (`Math.f16round`,
 * `Float16Array`: Node 24 on) and otherwise from @petamoriken/float16; the tests hold the two equal.
 *
 * NaN: between f16 and f32 a NaN becomes a quiet NaN of any sign and payload, since JavaScript does not promise to carry
 * those through a number. bf16 works on bits and keeps sign and upper payload (quieted on the way down).
 *
 * Bytes are little-endian at any alignment. Knows nothing of quant blocks. */
import { f16round as ponyfillF16Round } from '@petamoriken/float16';

/** True where the runtime has binary16 itself. */
const HAS_NATIVE_F16: boolean = typeof Float16Array === 'function' && typeof Math.f16round === 'function';

/** The nearest f16, as a number. */
export const roundToF16: (value: number) => number = HAS_NATIVE_F16 ? Math.f16round : ponyfillF16Round;

/** All 65,536 patterns, for lookup: `F16_TO_F32[bits]`. A constant; never write to it. */
export const F16_TO_F32: Float32Array = decodeAllF16();

function decodeAllF16(): Float32Array {
  const values = new Float32Array(0x10000);
  for (let exponent = 0; exponent < 32; exponent++) {
    const impliedOne = exponent === 0 ? 0 : 1024; // exponent 0: zero and the subnormals
    const step = 2 ** (Math.max(exponent, 1) - 25);
    for (let fraction = 0; fraction < 1024; fraction++) {
      const finite = (impliedOne + fraction) * step;
      const special = fraction === 0 ? Infinity : Number.NaN; // exponent 31
      const magnitude = exponent === 31 ? special : finite;
      const bits = (exponent << 10) | fraction;
      values[bits] = magnitude;
      values[bits | 0x8000] = -magnitude;
    }
  }
  return values;
}

/** Pattern of the f16 nearest to `value`. Beyond 65519.99 that is an infinity. */
export function f32ToF16(value: number): number {
  return f16Pattern(roundToF16(value));
}

/** Pattern of a number that is already an f16. Works on numbers, not on bits, and so needs no scratch memory. */
export function f16Pattern(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || (value === 0 && 1 / value < 0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude === Infinity) return sign | 0x7c00;
  // Below 2^-14 the exponent field is 0 and the fraction counts steps of 2^-24. A carry to 2^-14 lands right by itself.
  if (magnitude < 2 ** -14) return sign | (magnitude * 2 ** 24);
  const exponent = 31 - Math.clz32(magnitude * 2 ** 14); // from 0 for 2^-14 to 29 for 2^15
  const fraction = (magnitude * 2 ** 24) / (1 << exponent) - 1024; // the leading 1 is implied
  return sign | ((exponent + 1) << 10) | fraction;
}

export function readF16(bytes: Uint8Array, byteOffset: number): number {
  return F16_TO_F32[bytes[byteOffset]! | (bytes[byteOffset + 1]! << 8)]!;
}

export function writeF16(bytes: Uint8Array, byteOffset: number, value: number): void {
  const bits = f32ToF16(value);
  bytes[byteOffset] = bits;
  bytes[byteOffset + 1] = bits >> 8;
}

/** Widens f16 to f32: `dst.length` values from `byteOffset` of `src`. */
export function decodeF16(src: Uint8Array, byteOffset: number, dst: Float32Array): void {
  for (let i = 0, at = byteOffset; i < dst.length; i++, at += 2) {
    dst[i] = F16_TO_F32[src[at]! | (src[at + 1]! << 8)]!;
  }
}

/** Narrows every value of `src` to f16, into `dst` from `byteOffset`. */
export const encodeF16: (src: Float32Array, dst: Uint8Array, byteOffset: number) => void = HAS_NATIVE_F16
  ? encodeF16Native
  : encodeF16Ponyfill;

/** Exported so that tests can compare the two ways on one runtime. By way of an array of its own, since a Float16Array
 * cannot lie at an odd offset; still 20 times the speed of value by value. */
export function encodeF16Native(src: Float32Array, dst: Uint8Array, byteOffset: number): void {
  dst.set(new Uint8Array(new Float16Array(src).buffer), byteOffset);
}

/** Exported so that tests can compare the two ways on one runtime. */
export function encodeF16Ponyfill(src: Float32Array, dst: Uint8Array, byteOffset: number): void {
  for (let i = 0, at = byteOffset; i < src.length; i++, at += 2) {
    const bits = f16Pattern(ponyfillF16Round(src[i]!));
    dst[at] = bits;
    dst[at + 1] = bits >> 8;
  }
}

/** Widens bf16 to f32: `dst.length` values from `byteOffset` of `src`. */
export function decodeBf16(src: Uint8Array, byteOffset: number, dst: Float32Array): void {
  const dstBits = new Uint32Array(dst.buffer, dst.byteOffset, dst.length);
  for (let i = 0, at = byteOffset; i < dstBits.length; i++, at += 2) {
    dstBits[i] = (src[at]! << 16) | (src[at + 1]! << 24);
  }
}

/** Narrows every value of `src` to bf16, into `dst` from `byteOffset`. */
export function encodeBf16(src: Float32Array, dst: Uint8Array, byteOffset: number): void {
  const srcBits = new Uint32Array(src.buffer, src.byteOffset, src.length);
  for (let i = 0, at = byteOffset; i < srcBits.length; i++, at += 2) {
    const bits = roundBitsToBf16(srcBits[i]!);
    dst[at] = bits;
    dst[at + 1] = bits >> 8;
  }
}

/** Upper half of an f32's bits, rounded to even. Adding just under half a step (a full half when the kept part is odd)
 * carries into the kept bits exactly when rounding up is due; a carry out of the fraction raises the exponent. */
function roundBitsToBf16(bits: number): number {
  const isNotANumber = (bits & 0x7fffffff) > 0x7f800000;
  if (isNotANumber) return (bits >>> 16) | 0x40; // quiet, so that dropping the low payload cannot make it an infinity
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
