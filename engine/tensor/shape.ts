/** Shapes: sizes from the outermost dimension to the innermost, row-major. `[numTokens, hiddenSize]`. */
import { InvalidArgumentError, ShapeError } from '../errors.ts';

export type Shape = readonly number[];

/** Number of elements. 1 for the empty shape (a scalar). */
export function numElements(shape: Shape): number {
  let product = 1;
  for (const size of shape) product *= size;
  return product;
}

/** Size of the innermost dimension: the row that a quant block may not cross. */
export function rowSize(shape: Shape): number {
  return shape.at(-1) ?? 1;
}

export function numRows(shape: Shape): number {
  const row = rowSize(shape);
  return row === 0 ? 0 : numElements(shape) / row;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

/** @throws InvalidArgumentError unless every size is a whole number from 0 and the product is a safe integer. */
export function checkShape(shape: Shape): void {
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new InvalidArgumentError('shape', `sizes must be whole numbers from 0, got ${formatShape(shape)}`);
    }
  }
  if (!Number.isSafeInteger(numElements(shape))) {
    throw new InvalidArgumentError('shape', `${formatShape(shape)} has more elements than can be counted`);
  }
}

/** @throws ShapeError naming `op` when the shapes differ. */
export function expectShape(op: string, name: string, actual: Shape, expected: Shape): void {
  if (!sameShape(actual, expected)) {
    throw new ShapeError(op, `${name} ${formatShape(expected)}`, formatShape(actual));
  }
}
