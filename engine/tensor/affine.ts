/** Affine INT8 and INT4 quantization of a matrix: real = scale * (q - zeroPoint), with one scale and zero point for the
 * whole tensor, for each row, or for each group of consecutive elements of a row.
 *
 *   per tensor   s0 s0 s0 s0      per row   s0 s0 s0 s0      per group of 2   s0 s0 s1 s1
 *                s0 s0 s0 s0                s1 s1 s1 s1                       s2 s2 s3 s3
 *
 * INT8 is stored a byte per element, INT4 as `int4.ts` draws it. How the scale is chosen: `affine-params.ts`.
 * Source: Jacob et al. 2018. */
import { InvalidArgumentError } from '../errors.ts';
import { type AffineBits, chooseAffineParams, levelRange } from './affine-params.ts';
import { int4BytesPerRow, readInt4, writeInt4 } from './int4.ts';
import { checkShape, formatShape, numElements, numRows, rowSize, type Shape } from './shape.ts';

export type AffineGranularity = 'tensor' | 'row' | { readonly groupSize: number };

export interface AffineOptions {
  readonly bits: AffineBits;
  /** Zero point fixed at 0, levels from -qMax to qMax. Default false: the levels follow the values' own range. */
  readonly symmetric?: boolean;
  /** What shares a scale. Default 'row'. `groupSize` in elements, at least 1, must divide the row. */
  readonly granularity?: AffineGranularity;
}

export interface AffineTensor {
  readonly shape: Shape;
  readonly bits: AffineBits;
  /** Elements that share a scale; scale of element i (row-major) is `scales[floor(i / groupSize)]`. */
  readonly groupSize: number;
  /** [numGroups] */
  readonly scales: Float32Array;
  /** [numGroups], in the units of q */
  readonly zeroPoints: Int8Array;
  /** INT8: one byte per element, two's complement. INT4: see `int4.ts`. */
  readonly data: Uint8Array;
}

const MAX_F32 = (2 - 2 ** -23) * 2 ** 127;

/** Every element comes back within half a step (half its group's scale), and zero comes back as zero.
 * Shapes  values: the elements of `shape`, row-major
 * @throws InvalidArgumentError for a NaN or an infinity (its index is named), a length that is not the shape's, bits
 *   other than 8 and 4, or a group size that does not divide the row */
export function quantizeAffine(values: Float32Array, shape: Shape, options: AffineOptions): AffineTensor {
  checkShape(shape);
  if (values.length !== numElements(shape)) {
    const expected = `${formatShape(shape)} has ${numElements(shape)} elements`;
    throw new InvalidArgumentError('values', `${expected}, got ${values.length}`);
  }
  const { bits, symmetric = false, granularity = 'row' } = options;
  if (bits !== 8 && bits !== 4) throw new InvalidArgumentError('bits', `must be 8 or 4, got ${bits}`);
  checkFinite(values);
  const groupSize = groupSizeFor(granularity, shape);
  const numGroups = values.length === 0 ? 0 : values.length / groupSize;
  const bytesPerRow = bits === 8 ? rowSize(shape) : int4BytesPerRow(rowSize(shape));
  const quantized: AffineTensor = {
    shape: [...shape],
    bits,
    groupSize,
    scales: new Float32Array(numGroups),
    zeroPoints: new Int8Array(numGroups),
    data: new Uint8Array(numRows(shape) * bytesPerRow),
  };
  for (let group = 0; group < numGroups; group++) quantizeGroup(values, quantized, group, symmetric);
  return quantized;
}

/** @returns the elements, row-major; exact f32 products of scale and level difference (see affine-params.ts) */
export function dequantizeAffine(tensor: AffineTensor): Float32Array {
  const { shape, groupSize, scales, zeroPoints } = tensor;
  const values = new Float32Array(numElements(shape));
  for (let i = 0; i < values.length; i++) {
    const group = Math.floor(i / groupSize);
    const value = scales[group]! * (readLevel(tensor, i) - zeroPoints[group]!);
    // Half a step beyond the greatest f32 would be an infinity.
    values[i] = Math.max(-MAX_F32, Math.min(MAX_F32, value));
  }
  return values;
}

function quantizeGroup(values: Float32Array, target: AffineTensor, group: number, symmetric: boolean): void {
  const { bits, groupSize } = target;
  const start = group * groupSize;
  let low = 0;
  let high = 0;
  for (let i = start; i < start + groupSize; i++) {
    low = Math.min(low, values[i]!);
    high = Math.max(high, values[i]!);
  }
  const { scale, zeroPoint } = chooseAffineParams(low, high, bits, symmetric);
  const { qMin, qMax } = levelRange(bits, symmetric);
  target.scales[group] = scale;
  target.zeroPoints[group] = zeroPoint;
  for (let i = start; i < start + groupSize; i++) {
    const level = Math.round(values[i]! / scale) + zeroPoint;
    writeLevel(target, i, Math.max(qMin, Math.min(qMax, level)));
  }
}

function readLevel(tensor: AffineTensor, i: number): number {
  if (tensor.bits === 8) return (tensor.data[i]! << 24) >> 24;
  const row = rowSize(tensor.shape);
  return readInt4(tensor.data, Math.floor(i / row) * int4BytesPerRow(row), i % row);
}

function writeLevel(tensor: AffineTensor, i: number, level: number): void {
  if (tensor.bits === 8) {
    tensor.data[i] = level;
    return;
  }
  const row = rowSize(tensor.shape);
  writeInt4(tensor.data, Math.floor(i / row) * int4BytesPerRow(row), i % row, level);
}

function groupSizeFor(granularity: AffineGranularity, shape: Shape): number {
  if (granularity === 'tensor') return numElements(shape);
  const row = rowSize(shape);
  if (granularity === 'row') return row;
  const { groupSize } = granularity;
  if (Number.isSafeInteger(groupSize) && groupSize >= 1 && row % groupSize === 0) return groupSize;
  throw new InvalidArgumentError('granularity.groupSize', `must divide the row of ${row} elements, got ${groupSize}`);
}

function checkFinite(values: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i]!)) continue;
    throw new InvalidArgumentError('values', `${values[i]} at index ${i}: only finite values can be quantized`, {
      index: i,
      value: values[i],
    });
  }
}
