/** Memory for weights on their way from the file to their packed layout. A few areas at a time, however many weights are
 * asked for: what is read ahead of the packing must stay small, and in the caches. */
import { isFloatDType } from '../../../tensor/dtype.ts';
import { bytesPerRow } from '../../../tensor/storage.ts';
import type { TensorOutline } from '../../memory-outline.ts';
import { alignedLength } from '../allocator.ts';
import { GROUP_ROWS } from '../generators/matmul-tile.ts';

/** The most bytes asked of a weight's reader at once, as long as 8 rows are not more. */
const STAGE_BYTES = 1024 * 1024;
/** One is read into while others are packed from. */
const MAX_STAGES = 4;

/** Whole groups of rows. */
export function rowsPerStage(rowBytes: number, numRows: number): number {
  const groups = Math.max(1, Math.floor(STAGE_BYTES / (rowBytes * GROUP_ROWS)));
  return Math.min(numRows, groups * GROUP_ROWS);
}

/** The most bytes that staging takes while these weights are loaded. */
export function stagingBytes(weights: readonly TensorOutline[]): number {
  const stages = weights.map(({ dtype, shape }) => {
    if (shape.length !== 2 || !isFloatDType(dtype)) return 0;
    const rowBytes = bytesPerRow(dtype, shape[1]!);
    return alignedLength(rowsPerStage(rowBytes, shape[0]!) * rowBytes);
  });
  return MAX_STAGES * Math.max(0, ...stages);
}

/** Lets in so many users at a time; the others wait in line. */
export class StagingLine {
  #free = MAX_STAGES;
  readonly #waiting: (() => void)[] = [];

  async inTurn<T>(use: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await use();
    } finally {
      // Whoever comes next takes this one's place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
