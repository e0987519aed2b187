/** The list of formats. To add one: write its file, add it here and to `FLOAT_DTYPES`. */
import type { FloatDType } from '../dtype.ts';
import { f32 } from './f32.ts';
import type { QuantFormat } from './quant-format.ts';

const FORMATS: Readonly<Partial<Record<FloatDType, QuantFormat>>> = { f32 };

export function quantFormat(dtype: FloatDType): QuantFormat {
  return FORMATS[dtype]!;
}
