import { describe, expect, it } from 'vitest';
import { FLOAT_DTYPES } from '../../../engine/tensor/dtype.ts';
import { quantFormat } from '../../../engine/tensor/quant/quant-registry.ts';
import { byteLengthOf, bytesPerRow } from '../../../engine/tensor/storage.ts';

describe('storage', () => {
  it.each([
    ['f32', [3, 5], 60],
    ['i32', [3, 5], 60],
    ['f16', [3, 5], 30],
    ['bf16', [3, 5], 30],
    ['q4_0', [2, 64], 72],
    ['q8_0', [2, 64], 136],
    ['q4_k', [2, 512], 576],
    ['q6_k', [256], 210],
    ['f32', [], 4],
    ['q4_0', [0, 32], 0],
    ['q4_0', [4, 0], 0],
  ] as const)('%s %j takes %d bytes', (dtype, shape, bytes) => {
    expect(byteLengthOf(dtype, shape)).toBe(bytes);
  });

  it.each(FLOAT_DTYPES)('%s: a row is a whole number of quant blocks', (dtype) => {
    const { blockSize, bytesPerBlock } = quantFormat(dtype);
    expect(bytesPerRow(dtype, 3 * blockSize)).toBe(3 * bytesPerBlock);
    if (blockSize === 1) return;
    expect(() => bytesPerRow(dtype, blockSize + 1)).toThrow(expect.objectContaining({ code: 'SHAPE' }));
    // As many elements as blocks hold, but in rows that cut the blocks.
    expect(() => byteLengthOf(dtype, [2, blockSize / 2])).toThrow(expect.objectContaining({ code: 'SHAPE' }));
  });
});
