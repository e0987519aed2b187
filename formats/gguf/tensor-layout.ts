/** Checks that the tensors a GGUF file lists can lie where it says they lie, and turns them into `StoredTensor`s.
 *
 *   | header | tensor infos | padding | tensor 0 | padding | tensor 1 | padding | ... | end of file
 *                                     ^ dataStart, a multiple of alignment
 *                                     |--offset of tensor 1----------->|                              */
import type { FormatError } from '../../engine/errors.ts';
import { formatShape, type Shape } from '../../engine/tensor/shape.ts';
import { formatFailure } from '../format-failure.ts';
import type { StoredTensor } from '../tensor-file.ts';
import type { GgmlType } from './ggml-type.ts';

/** One entry of the file's tensor list, as read. */
export interface TensorInfo {
  readonly name: string;
  readonly type: GgmlType;
  /** Outermost dimension first. */
  readonly shape: Shape;
  /** From the start of the tensor data. Not yet checked. */
  readonly offset: bigint;
  /** Where in the file this entry begins, for messages. */
  readonly infoOffset: number;
}

export interface DataSection {
  readonly file: string;
  /** Bytes from the file's start to the tensor data, a multiple of `alignment`. */
  readonly dataStart: number;
  readonly alignment: number;
  readonly fileByteLength: number;
}

/** Bytes of a tensor: rows of whole quant blocks, one after another.
 * @returns undefined when quant blocks do not fill a row, or the number is not exact. */
export function ggmlByteLength(type: GgmlType, shape: Shape): number | undefined {
  const rowLength = shape.at(-1) ?? 1;
  if (rowLength % type.blockSize !== 0) return undefined;
  let byteLength = (rowLength / type.blockSize) * type.bytesPerBlock;
  for (let i = 0; i < shape.length - 1; i++) byteLength *= shape[i]!;
  return Number.isSafeInteger(byteLength) ? byteLength : undefined;
}

/** @throws FormatError for a misfit of shape and type, an unaligned offset, data beyond the file's end, overlapping data. */
export function layOutTensors(infos: readonly TensorInfo[], section: DataSection): StoredTensor[] {
  const placed = infos.map((info) => ({ info, tensor: placeTensor(info, section) }));
  const inOrder = placed.toSorted((a, b) => a.tensor.byteOffset - b.tensor.byteOffset);
  for (let i = 1; i < inOrder.length; i++) {
    const { tensor: before } = inOrder[i - 1]!;
    const { tensor, info } = inOrder[i]!;
    // Shared bytes would let a small file claim many times its size in weights.
    if (before.byteOffset + before.byteLength > tensor.byteOffset) {
      throw failure(info, section, `its data overlaps that of ${before.name}`);
    }
  }
  return placed.map(({ tensor }) => tensor);
}

function placeTensor(info: TensorInfo, section: DataSection): StoredTensor {
  const { name, type, shape, offset } = info;
  const byteLength = ggmlByteLength(type, shape);
  if (byteLength === undefined) {
    const blocks =
      type.blockSize > 1 ? `rows of ${type.name} are a multiple of ${type.blockSize}` : 'too many elements';
    throw failure(info, section, `shape ${formatShape(shape)} is not possible: ${blocks}`);
  }
  if (offset % BigInt(section.alignment) !== 0n) {
    throw failure(info, section, `offset ${offset} is not a multiple of the alignment ${section.alignment}`);
  }
  const end = BigInt(section.dataStart) + offset + BigInt(byteLength);
  if (end > BigInt(section.fileByteLength)) {
    const needs = `needs ${byteLength} bytes at ${BigInt(section.dataStart) + offset}`;
    throw failure(
      info,
      section,
      `${type.name} ${formatShape(shape)} ${needs}, but the file ends at ${section.fileByteLength}`,
    );
  }
  const byteOffset = section.dataStart + Number(offset);
  return { name, dtype: type.name, shape, byteLength, file: section.file, byteOffset };
}

function failure(info: TensorInfo, section: DataSection, problem: string): FormatError {
  return formatFailure({ file: section.file, byteOffset: info.infoOffset, field: `tensor ${info.name}` }, problem);
}
