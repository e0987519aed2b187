import { describe, expect, it } from 'vitest';
import {
  checkShape,
  expectShape,
  formatShape,
  numElements,
  numRows,
  rowSize,
  sameShape,
} from '../../../engine/tensor/shape.ts';

describe('shape', () => {
  it.each([
    { shape: [], elements: 1, row: 1, rows: 1 },
    { shape: [7], elements: 7, row: 7, rows: 1 },
    { shape: [2, 3, 4], elements: 24, row: 4, rows: 6 },
    { shape: [0, 4], elements: 0, row: 4, rows: 0 },
    { shape: [4, 0], elements: 0, row: 0, rows: 0 },
  ])('$shape: $elements elements in $rows rows of $row', ({ shape, elements, row, rows }) => {
    expect([numElements(shape), rowSize(shape), numRows(shape)]).toEqual([elements, row, rows]);
  });

  it('compares sizes and their number', () => {
    expect(sameShape([2, 3], [2, 3])).toBe(true);
    expect(sameShape([2, 3], [3, 2])).toBe(false);
    expect(sameShape([2], [2, 1])).toBe(false);
    expect(sameShape([], [])).toBe(true);
  });

  it.each([[[-1]], [[1.5]], [[Number.NaN]], [[Infinity]], [[2 ** 53]], [[2 ** 30, 2 ** 30]]])('refuses %j', (shape) => {
    expect(() => checkShape(shape)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('accepts scalars, empty shapes and the largest count', () => {
    for (const shape of [[], [0], [2 ** 26, 2 ** 26]]) expect(() => checkShape(shape)).not.toThrow();
  });

  it('names the op, the tensor and both shapes', () => {
    expect(() => expectShape('matmul', 'out', [2, 3], [3, 2])).toThrow('matmul: expected out [3, 2], got [2, 3]');
    expect(() => expectShape('matmul', 'out', [2, 3], [2, 3])).not.toThrow();
    expect(formatShape([])).toBe('[]');
  });
});
