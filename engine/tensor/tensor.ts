/** A tensor is a view: element type, shape, and where its bytes lie in a buffer that a backend owns.
 * It never owns memory, never copies, and knows nothing of files or sequences. */
import { ShapeError } from '../errors.ts';
import type { DType } from './dtype.ts';
import { checkShape, formatShape, numElements, rowSize, type Shape } from './shape.ts';
import { byteLengthOf } from './storage.ts';

/** A piece of memory that some backend allocated. Only that backend looks inside. */
export interface BufferHandle {
  /** The backend's name, to catch a tensor handed to the wrong one. */
  readonly owner: string;
  readonly byteLength: number;
}

export class Tensor<B extends BufferHandle = BufferHandle> {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly buffer: B;
  /** Where the first element lies, in bytes from the buffer's start. */
  readonly byteOffset: number;

  constructor(dtype: DType, shape: Shape, buffer: B, byteOffset = 0) {
    checkShape(shape);
    this.dtype = dtype;
    this.shape = shape;
    this.buffer = buffer;
    this.byteOffset = byteOffset;
  }

  get numElements(): number {
    return numElements(this.shape);
  }

  /** Bytes the view covers, as stored (a backend's packed weights may take others). */
  get byteLength(): number {
    return byteLengthOf(this.dtype, this.shape);
  }

  /** The same bytes under another shape.
   * @throws ShapeError when the number of elements would change, or a row would cut a quant block. */
  reshape(shape: Shape): Tensor<B> {
    if (numElements(shape) !== this.numElements) {
      throw new ShapeError('reshape', `${this.numElements} elements`, formatShape(shape));
    }
    byteLengthOf(this.dtype, shape); // throws where a quant block would not fit into the new rows
    return new Tensor(this.dtype, shape, this.buffer, this.byteOffset);
  }

  /** Entries `start` to `end` of the outermost dimension. */
  slice(start: number, end: number): Tensor<B> {
    const [outer, ...inner] = this.shape;
    if (outer === undefined || !(start >= 0 && start <= end && end <= outer)) {
      throw new ShapeError('slice', `0 <= start <= end <= ${outer ?? 0}`, `${start}..${end}`);
    }
    const bytesPerEntry = byteLengthOf(this.dtype, inner.length === 0 ? [1] : inner);
    return new Tensor(this.dtype, [end - start, ...inner], this.buffer, this.byteOffset + start * bytesPerEntry);
  }

  toString(): string {
    return `${this.dtype}${formatShape(this.shape)}`;
  }

  /** Size of the innermost dimension. */
  get rowSize(): number {
    return rowSize(this.shape);
  }
}
