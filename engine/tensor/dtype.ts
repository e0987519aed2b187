/** The element types a tensor can have. What each means in bytes is said by its own `QuantFormat` (law 6);
 * nothing outside `tensor/quant/` may switch on these names. */

/** Types that hold weights, activations or KV: float types and GGML block formats. */
export const FLOAT_DTYPES = [
  'f32',
  'f16',
  'bf16',
  'q4_0',
  'q4_1',
  'q5_0',
  'q5_1',
  'q8_0',
  'q2_k',
  'q3_k',
  'q4_k',
  'q5_k',
  'q6_k',
  'iq4_nl',
  'iq4_xs',
] as const;

/** Whole-number types: token ids, positions, tables. */
export const INTEGER_DTYPES = ['i32'] as const;

export type FloatDType = (typeof FLOAT_DTYPES)[number];
export type IntegerDType = (typeof INTEGER_DTYPES)[number];
export type DType = FloatDType | IntegerDType;

export function isFloatDType(name: string): name is FloatDType {
  return (FLOAT_DTYPES as readonly string[]).includes(name);
}
