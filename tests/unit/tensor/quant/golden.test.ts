/** Super-blocks of ggml's own making in every format, kept in the repository. */
import { describe, expect, it } from 'vitest';
import { FLOAT_DTYPES, type FloatDType } from '../../../../engine/tensor/dtype.ts';
import { dequantize, quantize } from '../../../../engine/tensor/quant/codec.ts';
import { quantFormat } from '../../../../engine/tensor/quant/quant-registry.ts';
import golden from '../../../golden/quants.json' with { type: 'json' };
import { bitsOf, WRITABLE } from './quant-samples.ts';

const COUNT = 256;

type GoldenType = keyof typeof golden.formats;
const types = Object.keys(golden.formats) as GoldenType[];

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

function valuesOf(hex: string): Float32Array {
  return new Float32Array(bytesOf(hex).buffer);
}

describe('quant formats against ggml (golden)', () => {
  it('covers every format but f32', () => {
    expect([...types].sort()).toEqual(FLOAT_DTYPES.filter((dtype) => dtype !== 'f32').sort());
  });

  it.each(types)('%s describes its blocks as ggml does', (type) => {
    const { ggmlType, blockSize, bytesPerBlock } = golden.formats[type];
    expect(quantFormat(type)).toMatchObject({ dtype: type, ggmlType, blockSize, bytesPerBlock });
  });

  it.each(types)('%s dequantizes to the same bits', (type) => {
    const { bytes, values } = golden.formats[type];
    expect(bitsOf(dequantize(type, bytesOf(bytes), COUNT))).toEqual(bitsOf(valuesOf(values)));
  });

  it.each(types.filter((type) => WRITABLE.includes(type)))('%s quantizes to the same bytes', (type) => {
    expect(quantize(type, valuesOf(golden.input))).toEqual(bytesOf(golden.formats[type].bytes));
  });

  it.each(golden.quantized)('quantizes $row to the same bytes', ({ input, bytes }) => {
    for (const [type, expected] of Object.entries(bytes)) {
      expect(quantize(type as GoldenType, valuesOf(input)), type).toEqual(bytesOf(expected));
    }
  });

  it('f32 keeps the bytes', () => {
    const bytes = bytesOf(golden.input);
    const f32: FloatDType = 'f32';
    expect(quantize(f32, dequantize(f32, bytes, COUNT))).toEqual(bytes);
  });
});
