/** How rows are cut for sums over them. A thread sums one part; the parts are then few enough for every thread to add up.
 * The cut depends on the row's width only, so a row's sum has the same bits whatever else is in the batch (law 2). */

/** Enough to keep a GPU busy with one row, few enough to add up again for every element. */
const MAX_PARTS = 32;

export interface RowParts {
  readonly numParts: number;
  readonly partWidth: number;
}

/** At least one part, no part empty unless the row is. */
export function rowParts(width: number): RowParts {
  const partWidth = Math.max(1, Math.ceil(width / MAX_PARTS));
  return { numParts: Math.max(1, Math.ceil(width / partWidth)), partWidth };
}
