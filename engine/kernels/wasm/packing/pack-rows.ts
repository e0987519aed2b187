/** Packs rows that lie in memory as in the file, and reads packed ones back. A job is plain data: it can be done on any
 * thread. */
import type { FloatDType } from '../../../tensor/dtype.ts';
import { bytesPerRow } from '../../../tensor/storage.ts';
import { GROUP_ROWS } from '../generators/matmul-tile.ts';
import type { LinearMemory } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import type { Packing } from '../wasm-buffer.ts';
import { packedFormat } from './format-registry.ts';
import { layoutOf, sliceStart } from './slices.ts';

export interface PackJob {
  /** Which memory all addresses are of. */
  readonly memory: number;
  readonly dtype: FloatDType;
  /** Address of the first row, as in the file, and the bytes from a row to the next. */
  readonly source: number;
  readonly rowBytes: number;
  /** Address of the packed weight. */
  readonly target: number;
  /** Of the weight's rows. */
  readonly firstRow: number;
  readonly numRows: number;
  /** All rows that the weight has. */
  readonly weightRows: number;
  readonly rowLength: number;
}

/** @returns the row that holds what kernels cannot take (see half-floats), or -1 */
export function packRows({ kernels }: Machine, job: PackJob): number {
  const { source, rowBytes, target, firstRow, numRows, weightRows, rowLength } = job;
  const format = packedFormat(job.dtype)!;
  const { blockK } = format.record;
  const layout = layoutOf(format, rowLength, Math.ceil(weightRows / GROUP_ROWS));
  const bytesPerRecord = bytesPerRow(format.dtype, blockK);
  for (let i = 0; i < numRows; i++) {
    const row = firstRow + i;
    for (const slice of layout.slices) {
      const from = source + i * rowBytes + slice.first * bytesPerRecord;
      const to = target + sliceStart(layout, Math.floor(row / GROUP_ROWS), slice);
      const length = Math.min(slice.count * blockK, rowLength - slice.first * blockK);
      if (!format.packRow(kernels, from, to, row % GROUP_ROWS, length)) return row;
    }
  }
  return -1;
}

/** Dequantizes a row of the packed weight at `address` into the start of `out`. */
export function readPackedRow(
  memory: LinearMemory,
  { address, packing }: PackedWeight,
  row: number,
  out: Float32Array,
) {
  const { format, numRows, rowLength } = packing;
  const { blockK } = format.record;
  const layout = layoutOf(format, rowLength, Math.ceil(numRows / GROUP_ROWS));
  for (const slice of layout.slices) {
    const from = address + sliceStart(layout, Math.floor(row / GROUP_ROWS), slice);
    const start = slice.first * blockK;
    const length = Math.min(slice.count * blockK, rowLength - start);
    format.readRow(memory.bytes, from, row % GROUP_ROWS, out, start, length);
  }
}

interface PackedWeight {
  readonly address: number;
  readonly packing: Packing;
}
