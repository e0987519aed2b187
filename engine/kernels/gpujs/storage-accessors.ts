/** The WGSL that reads and writes memory for compiled kernels: what stands in place of gpu.js's own accessors, which know
 * arrays of f32 only. A kernel sees numbers; here they come out of 32-bit words.
 *
 * Each array has `dims`, a vec4<u32> in the params: the sizes x, y and z from the innermost dimension on, and in w where
 * the array begins in its buffer, in elements (gpu.js keeps the total there and never reads it). */
import type { ElementKind, ResultElement, ResultKind } from './kernel-source.ts';

/** What the buffer of such a parameter is declared as. */
export function wordType(kind: ElementKind): 'f32' | 'i32' | 'u32' {
  return kind === 'f32' || kind === 'i32' ? kind : 'u32';
}

/** What the result's buffer is declared as. */
export function resultWordType(element: ResultElement): 'f32' | 'atomic<u32>' {
  return element === 'f32' ? 'f32' : 'atomic<u32>';
}

/** Element i, as a WGSL expression of type f32.
 * @param word  the expression of a word of the buffer */
function elementOf(kind: ElementKind, word: (index: string) => string): string {
  switch (kind) {
    case 'f32':
      return word('i');
    case 'i32':
      return `f32(${word('i')})`;
    case 'logit':
      return `nan_to_lowest(${word('i')})`;
    case 'u8':
      return `f32(extractBits(${word('i >> 2u')}, (i & 3u) * 8u, 8u))`;
    case 'i8':
      return `f32(extractBits(bitcast<i32>(${word('i >> 2u')}), (i & 3u) * 8u, 8u))`;
    case 'f16':
      return `half_to_float(${half(word, 'i')})`;
    case 'bf16':
      return `bitcast<f32>(${half(word, 'i')} << 16u)`;
    case 'u16':
      return `f32(${half(word, 'i')})`;
    case 'q8_0': {
      const block = '(i >> 5u) * 17u';
      const pair = half(word, `(${block} + 1u + ((i & 31u) >> 1u))`);
      return `half_to_float(${half(word, `(${block})`)}) * f32(extractBits(bitcast<i32>(${pair}), (i & 1u) * 8u, 8u))`;
    }
    default:
      return kind satisfies never;
  }
}

/** Half number `index` of the buffer, as a whole number. */
function half(word: (index: string) => string, index: string): string {
  return `extractBits(${word(`${index} >> 1u`)}, (${index} & 1u) * 16u, 16u)`;
}

/** Reads x, y, z of a parameter. Counted in u32: a flat index may well be beyond what an f32 or i32 holds.
 * @param inPlace  what the result's elements are, where the parameter lies in its buffer and is read through it */
export function readAccessor(name: string, kind: ElementKind, inPlace?: ResultElement): string {
  const dims = `params.user_${name}_dims`;
  const word = (index: string): string => {
    if (inPlace === undefined) return `user_${name}[${index}]`;
    return inPlace === 'f32' ? `result[${index}]` : `atomicLoad(&result[${index}])`;
  };
  return [
    `fn get_user_${name}(z : i32, y : i32, x : i32) -> f32 {`,
    `  let i = ${dims}.w + u32(x) + ${dims}.x * (u32(y) + ${dims}.y * u32(z));`,
    `  return ${elementOf(kind, word)};`,
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

/** An f32 as the nearest f16, the even one of two. WGSL's own `pack2x16float` may round either way. */
const FLOAT_TO_HALF = `fn float_to_half(value : f32) -> u32 {
  let bits = bitcast<u32>(value);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }
  if (magnitude < 0x38800000u) { return sign | u32(round(abs(value) * 0x1p24)); }
  return sign | ((magnitude + 0xfffu + ((magnitude >> 13u) & 1u) - 0x38000000u) >> 13u);
}`;

function storeHalf(bits: string): string {
  return `fn store(i : u32, value : f32) {
  let shift = (i & 1u) * 16u;
  atomicAnd(&result[i >> 1u], ~(0xffffu << shift));
  atomicOr(&result[i >> 1u], ${bits} << shift);
}`;
}

/** Stores an element of the result. Other threads may be storing the other half of its word. */
const STORE: Readonly<Record<ResultElement, string>> = {
  f32: `fn store(i : u32, value : f32) { result[i] = value; }`,
  f16: `${FLOAT_TO_HALF}
${storeHalf('float_to_half(value)')}`,
  u16: storeHalf('u32(value)'),
};

/** Writes what the kernel returned as a vec4 to where it says; see `ResultKind`. Empty for those that need no help. */
export function writeAccessor(kind: ResultKind, element: ResultElement): string {
  const { open, rowOf } = RESULT;
  switch (kind) {
    case 'element':
    case 'pair':
      return '';
    case 'scatter':
      return `${STORE[element]}
${open}
  if (returned.y < 0.0) { return; }
  store(${rowOf('u32(returned.z)', 'u32(returned.w)')} + u32(returned.y), returned.x);
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
