/** The WGSL that reads and writes memory for compiled kernels: what stands in place of gpu.js's own accessors, which know
 * arrays of f32 only. A kernel sees numbers; here they come out of 32-bit words.
 *
 * Each array has `dims`, a vec4<u32> in the params: the sizes x, y and z from the innermost dimension on, and in w where
 * the array begins in its buffer, in elements (gpu.js keeps the total there and never reads it). */
import type { ElementKind, ResultKind } from './kernel-source.ts';

/** What the buffer of such a parameter is declared as. */
export function wordType(kind: ElementKind): 'f32' | 'i32' | 'u32' {
  return kind === 'f32' || kind === 'i32' ? kind : 'u32';
}

/** Element i of the words `at`, as a WGSL expression of type f32. */
function elementOf(kind: ElementKind, at: string): string {
  switch (kind) {
    case 'f32':
      return `${at}[i]`;
    case 'i32':
      return `f32(${at}[i])`;
    case 'logit':
      return `nan_to_lowest(${at}[i])`;
    case 'u8':
      return `f32(extractBits(${at}[i >> 2u], (i & 3u) * 8u, 8u))`;
    case 'i8':
      return `f32(extractBits(bitcast<i32>(${at}[i >> 2u]), (i & 3u) * 8u, 8u))`;
    case 'f16':
      return `half_to_float(extractBits(${at}[i >> 1u], (i & 1u) * 16u, 16u))`;
    case 'bf16':
      return `bitcast<f32>(extractBits(${at}[i >> 1u], (i & 1u) * 16u, 16u) << 16u)`;
    default:
      return kind satisfies never;
  }
}

/** Reads x, y, z of a parameter. Counted in u32: a flat index may well be beyond what an f32 or i32 holds.
 * @param words  the variable to read from: the parameter's own, or `result` where an op works in place */
export function readAccessor(name: string, kind: ElementKind, words: string): string {
  const dims = `params.user_${name}_dims`;
  return [
    `fn get_user_${name}(z : i32, y : i32, x : i32) -> f32 {`,
    `  let i = ${dims}.w + u32(x) + ${dims}.x * (u32(y) + ${dims}.y * u32(z));`,
    `  return ${elementOf(kind, words)};`,
    '}',
  ].join('\n');
}

/** An f16 as the f32 of the same value. WGSL's own `unpack2x16float` may take the smallest numbers, the scales of quiet
 * weights, for 0. */
export const HALF_TO_FLOAT = `fn half_to_float(half : u32) -> f32 {
  let sign = (half & 0x8000u) << 16u;
  let exponent = (half >> 10u) & 31u;
  let mantissa = half & 1023u;
  if (exponent == 0u) { return bitcast<f32>(sign | 0x3f800000u) * f32(mantissa) * 0x1p-24; }
  return bitcast<f32>(sign | (select(exponent + 112u, 255u, exponent == 31u) << 23u) | (mantissa << 13u));
}`;

/** A NaN as -Infinity, told by its bits. */
export const NAN_TO_LOWEST = `fn nan_to_lowest(bits : u32) -> f32 {
  return bitcast<f32>(select(bits, 0xff800000u, (bits & 0x7fffffffu) > 0x7f800000u));
}`;

/** Writes what the kernel returned as a vec4 to where it says; see `ResultKind`. Empty for those that need no help. */
export function writeAccessor(kind: ResultKind): string {
  const { open, rowOf } = RESULT;
  switch (kind) {
    case 'element':
    case 'pair':
      return '';
    case 'scatter':
      return `${open}
  if (returned.y < 0.0) { return; }
  result[${rowOf('u32(returned.z)', 'u32(returned.w)')} + u32(returned.y)] = returned.x;
}`;
    case 'columns':
      return `${open}
  let row = ${rowOf('threadGid.y', 'threadGid.z')};
  result[row + u32(returned.z)] = returned.x;
  result[row + u32(returned.w)] = returned.y;
}`;
    default:
      return kind satisfies never;
  }
}

const RESULT = {
  open: 'fn put_result(returned : vec4<f32>) {',
  rowOf: (y: string, z: string): string =>
    `params.result_dims.w + params.result_dims.x * (${y} + params.result_dims.y * ${z})`,
};
