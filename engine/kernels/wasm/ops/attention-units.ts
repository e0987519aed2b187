/** How attention is divided: into units, and units among threads. Pure arithmetic over positions; no memory, no kernel.
 *
 *   sequence 0, 3 rows, 2 query heads per KV head    queries   row 0: h0 h1   row 1: h0 h1   row 2: h0 h1
 *   (kvHead 0, queries 0 to 5), (kvHead 1, ...), ... ->        one unit, as far as scratch memory goes
 *
 * A unit is queries of neighbouring rows that share a KV head and so its pages: each page is read once for all of them.
 * Which queries meet in a unit, and on which thread, changes no bit of any. */
import type { Part } from '../../part.ts';

export interface AttentionBatch {
  readonly queryStartLoc: Int32Array;
  readonly seqLens: Int32Array;
  readonly numKvHeads: number;
  /** Query heads per KV head. */
  readonly numSharing: number;
  /** Infinity when every earlier token is seen. */
  readonly window: number;
  /** Largest number of queries in a unit. */
  readonly maxQueries: number;
}

export interface AttentionUnit {
  readonly sequence: number;
  readonly kvHead: number;
  /** Query i is head i % numSharing of row floor(i / numSharing) of the sequence. */
  readonly firstQuery: number;
  readonly numQueries: number;
  /** Keys that some of the queries see: `firstKey` to `endKey` - 1. None for a padding sequence. */
  readonly firstKey: number;
  readonly endKey: number;
}

/** What staging a key costs, in queries that it meets. */
const STAGING_COST = 3;

/** A part's units: one run of the list of all units, so that neighbours, which read the same pages, stay on one thread.
 * Runs are of equal cost to half a unit. */
export function unitsOfPart(batch: AttentionBatch, part: Part): AttentionUnit[] {
  let total = 0;
  forEachUnit(batch, (unit) => {
    total += costOf(unit);
  });
  const units: AttentionUnit[] = [];
  let before = 0;
  forEachUnit(batch, (unit) => {
    const middle = before + costOf(unit) / 2;
    before += costOf(unit);
    if (Math.floor((middle * part.count) / total) === part.index) units.push(unit);
  });
  return units;
}

/** Units that are walked together: the same rows of neighbouring KV heads, as many as there is room for. Of each page they
 * then read all their heads' parts, which lie side by side, before the next page's: memory is fast in long runs only. */
export function unitRuns(units: readonly AttentionUnit[], maxQueries: number): AttentionUnit[][] {
  const runs: AttentionUnit[][] = [];
  for (const unit of units) {
    const run = runs.at(-1);
    const first = run?.[0];
    const isNext =
      first?.sequence === unit.sequence &&
      first.firstQuery === unit.firstQuery &&
      first.kvHead + run!.length === unit.kvHead &&
      (run!.length + 1) * unit.numQueries <= maxQueries;
    if (isNext) run!.push(unit);
    else runs.push([unit]);
  }
  return runs;
}

function costOf({ numQueries, firstKey, endKey }: AttentionUnit): number {
  return 1 + (endKey - firstKey) * (numQueries + STAGING_COST);
}

function forEachUnit(batch: AttentionBatch, visit: (unit: AttentionUnit) => void): void {
  const { queryStartLoc, seqLens, numKvHeads, numSharing, window, maxQueries } = batch;
  for (let sequence = 0; sequence < seqLens.length; sequence++) {
    const numRows = queryStartLoc[sequence + 1]! - queryStartLoc[sequence]!;
    const seqLen = seqLens[sequence]!;
    const endQuery = numRows * numSharing;
    for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
      for (let firstQuery = 0; firstQuery < endQuery; firstQuery += maxQueries) {
        const numQueries = Math.min(maxQueries, endQuery - firstQuery);
        const firstRow = Math.floor(firstQuery / numSharing);
        const lastRow = Math.floor((firstQuery + numQueries - 1) / numSharing);
        const firstPosition = seqLen - numRows + firstRow;
        const endKey = seqLen === 0 ? 0 : seqLen - numRows + lastRow + 1;
        const firstKey = seqLen === 0 ? 0 : Math.max(0, firstPosition - window + 1);
        visit({ sequence, kvHead, firstQuery, numQueries, firstKey, endKey });
      }
    }
  }
}
