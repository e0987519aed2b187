/** 16 rows of edge cases, made by ggml's C reference. */
import { describe, expect, it } from 'vitest';
import { FLOAT_DTYPES } from '../../../../engine/tensor/dtype.ts';
import { dequantize, quantize } from '../../../../engine/tensor/quant/codec.ts';
import { fixturePath, hasFixtures, readBytes, readF32, readJson, skipNote } from '../../../helpers/fixtures.ts';
import { bitsOf, rmse, WRITABLE } from './quant-samples.ts';

interface Index {
  readonly rows: number;
  readonly cols: number;
  readonly row_names: readonly string[];
  readonly types: Readonly<Record<string, { readonly rmse_per_row: readonly number[] }>>;
}

const read = FLOAT_DTYPES.filter((dtype) => dtype !== 'f32');
const written = read.filter((dtype) => WRITABLE.includes(dtype));

describe.skipIf(!hasFixtures)(`quant formats against ggml (fixtures)${skipNote}`, () => {
  const load = async () => ({
    index: await readJson<Index>(fixturePath('quants/index.json')),
    input: await readF32(fixturePath('quants/input.f32')),
  });

  it.each(read)('%s dequantizes to the same bits', async (dtype) => {
    const { input } = await load();
    const bytes = await readBytes(fixturePath(`quants/${dtype.toUpperCase()}.q`));
    const expected = await readF32(fixturePath(`quants/${dtype.toUpperCase()}.deq.f32`));
    expect(bitsOf(dequantize(dtype, bytes, input.length))).toEqual(bitsOf(expected));
  });

  it.each(written)('%s quantizes to the same bytes', async (dtype) => {
    const { input } = await load();
    expect(quantize(dtype, input)).toEqual(await readBytes(fixturePath(`quants/${dtype.toUpperCase()}.q`)));
  });

  // Would still hold if a better search than ggml's replaced the identical bytes.
  it.each(written)('%s loses no more per row than ggml', async (dtype) => {
    const { index, input } = await load();
    const limits = index.types[dtype.toUpperCase()]!.rmse_per_row;
    for (let row = 0; row < index.rows; row++) {
      const values = input.subarray(row * index.cols, (row + 1) * index.cols);
      const error = rmse(dequantize(dtype, quantize(dtype, values), index.cols), values);
      expect(error, index.row_names[row]).toBeLessThanOrEqual(1.05 * limits[row]!);
    }
  });
});
