/** Turns one stored tensor into another format, a chunk at a time: dequantize, check, quantize. Quant blocks know nothing of
 * each other, so the bytes are those of quantizing the whole tensor at once, and memory is a few chunks whatever its size. */
import type { StoredTensor, TensorFile } from '../../formats/tensor-file.ts';
import { AbortError, FormatError, UnsupportedError } from '../errors.ts';
import { FLOAT_DTYPES, type FloatDType, isFloatDType } from '../tensor/dtype.ts';
import type { QuantFormat } from '../tensor/quant/quant-format.ts';
import { quantFormat } from '../tensor/quant/quant-registry.ts';
import { numElements } from '../tensor/shape.ts';

export interface ConvertOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told how many bytes more are done, of the output. */
  readonly onBytes?: ((numBytes: number) => void) | undefined;
}

/** How to re-order rows on the way: the tensor is groups of `rowsPerGroup` rows, and row r of a group is taken from row
 * `sourceRow(r)` of the same group. */
export interface RowOrder {
  readonly rowsPerGroup: number;
  readonly sourceRow: (row: number) => number;
}

/** Elements per chunk, a multiple of every block size: 1 MiB as f32. */
const CHUNK_ELEMENTS = 2 ** 18;
const CHUNK_BYTES = 2 ** 20;

/** The tensor's own bytes. */
export async function* copyChunks(
  file: TensorFile,
  tensor: StoredTensor,
  { signal, onBytes }: ConvertOptions,
): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, tensor.byteLength));
  for (let start = 0; start < tensor.byteLength; start += buffer.length) {
    stopIfAborted(signal);
    const chunk = buffer.subarray(0, Math.min(buffer.length, tensor.byteLength - start));
    await file.read(tensor, start, chunk);
    yield chunk;
    onBytes?.(chunk.length);
  }
}

/** A chunk is valid until the next one is asked for.
 * @throws FormatError naming tensor and element for a value the new format cannot hold (NaN, an infinity, too large);
 *         UnsupportedError for a stored format that Quern does not read; AbortError by `signal` */
export async function* convertChunks(
  file: TensorFile,
  tensor: StoredTensor,
  to: FloatDType,
  options: ConvertOptions & { readonly rowOrder?: RowOrder | undefined },
): AsyncGenerator<Uint8Array> {
  const from = readableFormat(tensor);
  const target = quantFormat(to);
  const total = numElements(tensor.shape);
  const chunkElements = chunkSize(tensor, options.rowOrder);
  const source = new Uint8Array(bytesOf(from, Math.min(chunkElements, total)));
  const values = new Float32Array(Math.min(chunkElements, total));
  const result = new Uint8Array(bytesOf(target, values.length));
  const reordered = options.rowOrder === undefined ? undefined : new Float32Array(values.length);
  for (let start = 0; start < total; start += chunkElements) {
    stopIfAborted(options.signal);
    const count = Math.min(chunkElements, total - start);
    await file.read(tensor, bytesOf(from, start), source.subarray(0, bytesOf(from, count)));
    from.dequantize(source, 0, values, 0, count / from.blockSize);
    const chunk = values.subarray(0, count);
    checkValues(chunk, start, target, { tensor, from });
    const ordered = reordered?.subarray(0, count) ?? chunk;
    if (options.rowOrder !== undefined) reorderRows(chunk, ordered, tensor, options.rowOrder);
    target.quantize!(ordered, 0, result, 0, count / target.blockSize);
    const bytes = result.subarray(0, bytesOf(target, count));
    yield bytes;
    options.onBytes?.(bytes.length);
  }
}

function readableFormat(tensor: StoredTensor): QuantFormat {
  if (isFloatDType(tensor.dtype)) return quantFormat(tensor.dtype);
  throw new UnsupportedError(
    `${tensor.file}: converting ${tensor.name} from ${tensor.dtype}`,
    `Quern reads ${FLOAT_DTYPES.join(', ')}`,
  );
}

function bytesOf({ blockSize, bytesPerBlock }: QuantFormat, count: number): number {
  return (count / blockSize) * bytesPerBlock;
}

/** Whole groups of rows where rows change places. */
function chunkSize(tensor: StoredTensor, rowOrder: RowOrder | undefined): number {
  if (rowOrder === undefined) return CHUNK_ELEMENTS;
  const groupElements = rowOrder.rowsPerGroup * rowLengthOf(tensor);
  return Math.max(1, Math.floor(CHUNK_ELEMENTS / groupElements)) * groupElements;
}

/** A bias is a column: rows of one element. */
function rowLengthOf({ shape }: StoredTensor): number {
  return shape.length === 1 ? 1 : shape.at(-1)!;
}

function reorderRows(from: Float32Array, to: Float32Array, tensor: StoredTensor, order: RowOrder): void {
  const rowLength = rowLengthOf(tensor);
  const { rowsPerGroup, sourceRow } = order;
  const numRows = from.length / rowLength;
  for (let group = 0; group < numRows; group += rowsPerGroup) {
    for (let row = 0; row < rowsPerGroup; row++) {
      const start = (group + sourceRow(row)) * rowLength;
      to.set(from.subarray(start, start + rowLength), (group + row) * rowLength);
    }
  }
}

/** A NaN or an infinity in a block format would spoil its whole block; in f16 a large number would become an infinity. */
function checkValues(
  values: Float32Array,
  firstIndex: number,
  target: QuantFormat,
  { tensor, from }: { readonly tensor: StoredTensor; readonly from: QuantFormat },
): void {
  const limit = target.maxMagnitude ?? largestFinite(target);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Math.abs(value) <= limit) continue; // false for NaN
    const index = firstIndex + i;
    const byteOffset = tensor.byteOffset + bytesOf(from, Math.floor(index / from.blockSize) * from.blockSize);
    throw new FormatError(
      { file: tensor.file, byteOffset, field: tensor.name },
      `element ${index} is ${value}; ${target.dtype} holds finite values up to ${limit}`,
    );
  }
}

/** The largest number that a float format does not round to infinity, found by asking the format. */
function largestFinite(format: QuantFormat): number {
  const cell = new Float32Array(1);
  const bytes = new Uint8Array(format.bytesPerBlock);
  // Halfway past the largest number is where rounding to infinity begins, in each format.
  for (const largest of [(2 - 2 ** -23) * 2 ** 127, (2 - 2 ** -7) * 2 ** 127, 65504]) {
    cell[0] = largest;
    format.quantize!(cell, 0, bytes, 0, 1);
    format.dequantize(bytes, 0, cell, 0, 1);
    if (Number.isFinite(cell[0])) return largest;
  }
  return 65504;
}

function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError(signal.reason);
}
