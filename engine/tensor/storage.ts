/** How many bytes a dtype takes. */
import { ShapeError } from '../errors.ts';
import type { DType } from './dtype.ts';
import { quantFormat } from './quant/quant-registry.ts';
import { numRows, rowSize, type Shape } from './shape.ts';

/** Bytes of one row of `rowLength` elements.
 * @throws ShapeError when a block format's quant blocks do not fill the row. */
export function bytesPerRow(dtype: DType, rowLength: number): number {
  if (dtype === 'i32') return rowLength * 4;
  const { blockSize, bytesPerBlock } = quantFormat(dtype);
  if (rowLength % blockSize !== 0) {
    throw new ShapeError(dtype, `rows of a multiple of ${blockSize} elements`, `${rowLength}`);
  }
  return (rowLength / blockSize) * bytesPerBlock;
}

/** Bytes of a tensor as stored in a file: rows one after another, no padding. */
export function byteLengthOf(dtype: DType, shape: Shape): number {
  return numRows(shape) * bytesPerRow(dtype, rowSize(shape));
}
