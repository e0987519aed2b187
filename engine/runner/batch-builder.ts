/** Flattens a scheduler's step into the arrays that the model reads. See `ForwardBatch` for the picture. */
import type { ForwardBatch } from '../model/forward-batch.ts';
import type { SchedulerOutput } from '../scheduler/scheduler-output.ts';

/** Which rows' logits are wanted: 'last' of each sequence that samples, or 'all'. */
export type LogitRowsWanted = (sequenceId: number) => 'last' | 'all';

const LAST_ROWS: LogitRowsWanted = () => 'last';

/** Row r of the step's logits belongs to the r-th entry of `logitRows`, and those follow the order of `scheduled`. */
export function buildBatch(
  output: SchedulerOutput,
  blockSize: number,
  rowsWanted: LogitRowsWanted = LAST_ROWS,
): ForwardBatch {
  const { scheduled, numScheduledTokens: numTokens, blockCopies } = output;
  const numSeqs = scheduled.length;
  const maxBlocksPerSeq = scheduled.reduce((max, { blockTable }) => Math.max(max, blockTable.length), 0);
  const batch = {
    numTokens,
    numSeqs,
    maxBlocksPerSeq,
    tokenIds: new Int32Array(numTokens),
    positions: new Int32Array(numTokens),
    slotMapping: new Int32Array(numTokens),
    queryStartLoc: new Int32Array(numSeqs + 1),
    seqLens: new Int32Array(numSeqs),
    blockTables: new Int32Array(numSeqs * maxBlocksPerSeq),
    blockCopies: Int32Array.from(blockCopies.flatMap(({ source, target }) => [source, target])),
  };
  const logitRows: number[] = [];
  let row = 0;
  for (const [s, { id, numComputedTokens, tokenIds, blockTable, samples }] of scheduled.entries()) {
    const start = row;
    batch.tokenIds.set(tokenIds, start);
    batch.blockTables.set(blockTable, s * maxBlocksPerSeq);
    for (let i = 0; i < tokenIds.length; i++, row++) {
      const position = numComputedTokens + i;
      batch.positions[row] = position;
      batch.slotMapping[row] = blockTable[Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
    }
    batch.seqLens[s] = numComputedTokens + tokenIds.length;
    batch.queryStartLoc[s + 1] = row;
    if (rowsWanted(id) === 'all') for (let r = start; r < row; r++) logitRows.push(r);
    else if (samples) logitRows.push(row - 1);
  }
  return { ...batch, logitRows: Int32Array.from(logitRows) };
}
