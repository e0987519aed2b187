/** Packs rows that lie in memory as in the file. A job is plain data: it can be done on any thread. */
import type { FloatDType } from '../../../tensor/dtype.ts';
import { GROUP_ROWS } from '../generators/matmul-tile.ts';
import type { Machine } from '../machine.ts';
import { packedFormat } from './format-registry.ts';
import { groupBytes } from './packed-format.ts';

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
  readonly rowLength: number;
}

/** @returns the row that holds what kernels cannot take (see half-floats), or -1 */
export function packRows({ kernels }: Machine, job: PackJob): number {
  const { source, rowBytes, target, firstRow, numRows, rowLength } = job;
  const format = packedFormat(job.dtype)!;
  const bytesPerGroup = groupBytes(format, rowLength);
  for (let i = 0; i < numRows; i++) {
    const row = firstRow + i;
    const group = target + Math.floor(row / GROUP_ROWS) * bytesPerGroup;
    if (!format.packRow(kernels, source + i * rowBytes, group, row % GROUP_ROWS, rowLength)) return row;
  }
  return -1;
}
