/** Brings a weight from its file into its packed layout, some rows at a time, and back out for whoever asks. */
import { UnsupportedError } from '../../../errors.ts';
import { bytesPerRow } from '../../../tensor/storage.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import type { ReadRange } from '../../kernel-backend.ts';
import type { Machine } from '../machine.ts';
import type { Packing, WasmBuffer } from '../wasm-buffer.ts';
import { type PackJob, readPackedRow } from './pack-rows.ts';
import { rowsPerStage } from './staging.ts';

const PLAIN_CHUNK_BYTES = 4 * 1024 * 1024;

/** What loading needs of the backend. */
export interface PackingMeans {
  /** Memory for rows on their way, beside the weight. */
  stage(byteLength: number): WasmBuffer;
  release(buffer: WasmBuffer): void;
  /** `packRows`, on some thread. */
  pack(job: PackJob): Promise<number>;
}

/** Reads whole groups of 8 rows and packs each row into its place.
 * @throws UnsupportedError for a weight that kernels cannot take; what `read` throws */
export async function loadPackedRows(
  { memory }: Machine,
  tensor: Tensor<WasmBuffer>,
  read: ReadRange,
  means: PackingMeans,
): Promise<void> {
  const { buffer } = tensor;
  const { format, numRows, rowLength } = buffer.packing!;
  const { dtype } = format;
  const rowBytes = bytesPerRow(dtype, rowLength);
  const rowsAtOnce = rowsPerStage(rowBytes, numRows);
  const stage = means.stage(rowsAtOnce * rowBytes);
  const common = {
    memory: buffer.memory,
    dtype,
    source: stage.address,
    rowBytes,
    target: buffer.address,
    weightRows: numRows,
    rowLength,
  };
  try {
    for (let firstRow = 0; firstRow < numRows; firstRow += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, numRows - firstRow);
      await read(firstRow * rowBytes, memory.bytes.subarray(stage.address, stage.address + count * rowBytes));
      if (buffer.isReleased) return;
      const badRow = await means.pack({ ...common, firstRow, numRows: count });
      if (buffer.isReleased) return;
      if (badRow === -1) continue;
      const reason = `row ${badRow} holds an f16 that is infinite or NaN; the file is damaged`;
      throw new UnsupportedError(`a weight ${tensor}`, reason, { row: badRow, dtype });
    }
  } finally {
    means.release(stage);
  }
}

/** Calls `load` for consecutive ranges of a tensor that is not packed. */
export async function readInChunks(
  byteLength: number,
  load: (start: number, length: number) => Promise<void>,
): Promise<void> {
  for (let start = 0; start < byteLength; start += PLAIN_CHUNK_BYTES) {
    await load(start, Math.min(PLAIN_CHUNK_BYTES, byteLength - start));
  }
}

/** The values of a packed weight, row by row. */
export function unpackRows({ memory }: Machine, tensor: Tensor<WasmBuffer>, packing: Packing): Float32Array {
  const { numRows, rowLength } = packing;
  const values = new Float32Array(numRows * rowLength);
  for (let row = 0; row < numRows; row++) {
    const out = values.subarray(row * rowLength, (row + 1) * rowLength);
    readPackedRow(memory, { address: tensor.buffer.address, packing }, row, out);
  }
  return values;
}
