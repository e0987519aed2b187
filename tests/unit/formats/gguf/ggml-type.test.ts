/** The table here and the quant formats in the engine say the same sizes; so does ggml. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { FLOAT_DTYPES } from '../../../../engine/tensor/dtype.ts';
import { quantFormat } from '../../../../engine/tensor/quant/quant-registry.ts';
import { byteLengthOf } from '../../../../engine/tensor/storage.ts';
import { GGML_TYPES, ggmlTypeById, ggmlTypeByName } from '../../../../formats/gguf/ggml-type.ts';
import { ggmlByteLength } from '../../../../formats/gguf/tensor-layout.ts';
import { fixturePath, hasFixtures, skipNote } from '../../../helpers/fixtures.ts';

describe('the table of ggml types', () => {
  it.each(FLOAT_DTYPES)('agrees with the quant format %s', (dtype) => {
    const { ggmlType, blockSize, bytesPerBlock } = quantFormat(dtype);
    expect(ggmlTypeByName(dtype)).toEqual({ name: dtype, id: ggmlType, blockSize, bytesPerBlock });
    const shape = [3, 2, blockSize * 5];
    expect(ggmlByteLength(ggmlTypeByName(dtype)!, shape)).toBe(byteLengthOf(dtype, shape));
  });

  it('has each number and each name once', () => {
    expect(new Set(GGML_TYPES.map(({ id }) => id)).size).toBe(GGML_TYPES.length);
    expect(new Set(GGML_TYPES.map(({ name }) => name)).size).toBe(GGML_TYPES.length);
    expect(ggmlTypeById(4)).toBeUndefined();
    expect(ggmlTypeByName('Q4_0')).toBeUndefined();
  });
});

describe.skipIf(!hasFixtures)(`the table against ggml itself${skipNote}`, () => {
  it('has its numbers and sizes', async () => {
    const lines = (await readFile(fixturePath('quants/types.txt'), 'utf8')).trim().split('\n');
    for (const line of lines) {
      const [name, id, blockSize, bytesPerBlock] = line.split(/\s+/) as [string, string, string, string];
      const expected = { name: name.toLowerCase(), blockSize: Number(blockSize), bytesPerBlock: Number(bytesPerBlock) };
      expect(ggmlTypeById(Number(id))).toEqual({ id: Number(id), ...expected });
    }
    expect(lines.length).toBeGreaterThanOrEqual(20);
  });
});
