/** Brings a weight from its file into its packed layout, some rows at a time, and back out for whoever asks. */
import { UnsupportedError } from '../../../errors.ts';
import { bytesPerRow } from '../../../tensor/storage.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import type { ReadRange } from '../../kernel-backend.ts';
import { GROUP_ROWS } from '../generators/matmul-tile.ts';
import type { Machine } from '../machine.ts';
import type { Packing, WasmBuffer } from '../wasm-buffer.ts';
import { groupBytes } from './packed-format.ts';

/** The most bytes asked of a weight's reader at once, as long as 8 rows are not more. */
const STAGE_BYTES = 1024 * 1024;
const PLAIN_CHUNK_BYTES = 4 * 1024 * 1024;

/** Memory for rows on their way. */
export interface Staging {
  stage(byteLength: number): WasmBuffer;
  release(buffer: WasmBuffer): void;
}

/** Reads whole groups of 8 rows and packs each row into its place.
 * @throws UnsupportedError for a weight that kernels cannot take; what `read` throws */
export async function loadPackedRows(
  machine: Machine,
  tensor: Tensor<WasmBuffer>,
  read: ReadRange,
  staging: Staging,
): Promise<void> {
  const { buffer, dtype } = tensor;
  const { format, numRows, rowLength } = buffer.packing!;
  const rowBytes = bytesPerRow(dtype, rowLength);
  const groupsAtOnce = Math.max(1, Math.floor(STAGE_BYTES / (rowBytes * GROUP_ROWS)));
  const rowsAtOnce = Math.min(numRows, groupsAtOnce * GROUP_ROWS);
  const stage = staging.stage(rowsAtOnce * rowBytes);
  try {
    for (let first = 0; first < numRows; first += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, numRows - first);
      const start = stage.address;
      await read(first * rowBytes, machine.memory.bytes.subarray(start, start + count * rowBytes));
      if (buffer.isReleased) return;
      for (let i = 0; i < count; i++) {
        const row = first + i;
        const group = buffer.address + Math.floor(row / GROUP_ROWS) * groupBytes(format, rowLength);
        if (format.packRow(machine.kernels, start + i * rowBytes, group, row % GROUP_ROWS, rowLength)) continue;
        const reason = `row ${row} holds an f16 that is infinite or NaN; the file is damaged`;
        throw new UnsupportedError(`a weight ${tensor}`, reason, { row, dtype });
      }
    }
  } finally {
    staging.release(stage);
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
  const { format, numRows, rowLength } = packing;
  const values = new Float32Array(numRows * rowLength);
  for (let row = 0; row < numRows; row++) {
    const group = tensor.buffer.address + Math.floor(row / GROUP_ROWS) * groupBytes(format, rowLength);
    format.readRow(memory.bytes, group, row % GROUP_ROWS, values, row * rowLength, rowLength);
  }
  return values;
}
