/** Which weights are packed, and into how many bytes. */
import type { FloatDType } from '../../../tensor/dtype.ts';
import { checkShape, type Shape } from '../../../tensor/shape.ts';
import { byteLengthOf } from '../../../tensor/storage.ts';
import { fitsActivationArea } from '../ops/matmul-job.ts';
import type { Packing } from '../wasm-buffer.ts';
import { packedFormat } from './format-registry.ts';
import { packedByteLength } from './packed-format.ts';

/** How a weight of this shape is packed: matrices of formats with kernels, unless their rows are too long. */
export function packingFor(dtype: FloatDType, shape: Shape): Packing | undefined {
  const format = packedFormat(dtype);
  checkShape(shape);
  const [numRows, rowLength] = shape;
  if (format === undefined || shape.length !== 2 || numRows === 0 || rowLength === 0) return undefined;
  byteLengthOf(dtype, shape); // throws where a quant block would not fit into the rows
  if (!fitsActivationArea(format, rowLength!)) return undefined;
  return { format, numRows: numRows!, rowLength: rowLength! };
}

export function packingBytes({ format, numRows, rowLength }: Packing): number {
  return packedByteLength(format, numRows, rowLength);
}
