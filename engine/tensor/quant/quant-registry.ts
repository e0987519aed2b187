/** The list of formats. To add one: write its file, add it here and to `FLOAT_DTYPES`. */
import type { FloatDType } from '../dtype.ts';
import { bf16 } from './bf16.ts';
import { f16 } from './f16.ts';
import { f32 } from './f32.ts';
import { iq4_nl } from './iq4-nl.ts';
import { iq4_xs } from './iq4-xs.ts';
import { q2_k } from './q2-k.ts';
import { q3_k } from './q3-k.ts';
import { q4_0 } from './q4-0.ts';
import { q4_1 } from './q4-1.ts';
import { q4_k } from './q4-k.ts';
import { q5_0 } from './q5-0.ts';
import { q5_1 } from './q5-1.ts';
import { q5_k } from './q5-k.ts';
import { q6_k } from './q6-k.ts';
import { q8_0 } from './q8-0.ts';
import type { QuantFormat } from './quant-format.ts';

const FORMATS: Readonly<Record<FloatDType, QuantFormat>> = {
  f32,
  f16,
  bf16,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
};

export function quantFormat(dtype: FloatDType): QuantFormat {
  return FORMATS[dtype];
}
