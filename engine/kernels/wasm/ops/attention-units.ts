/** How attention is divided: into units, and units among threads. Pure arithmetic over positions; no memory, no kernel.
 *
 *   sequence 0, 3 rows, 2 query heads per KV head    queries   row 0: h0 h1   row 1: h0 h1   row 2: h0 h1
 *   (kvHead 0, queries 0 to 5), (kvHead 1, ...), ... ->        one unit, as far as scratch memory goes
 *
 * A unit is queries of neighbouring rows that share a KV head and so its pages: each page is read once for all of them.
 *
 *   sequence 1, 1 row, 1,300 keys   ->   (section 0, kvHead 0), (section 0, kvHead 1), ... (section 1, kvHead 0), ...
 *
 * Few rows with a long past are divided by sections of it too, and by those first: a thread then reads whole pages, one
 * after the other. Reading every second 16 KiB, as a thread with half of the heads would, is half as fast. Sections are
 * taken by whoever is ready (tickets.ts), all other units divided in advance.
 * Which queries meet in a unit, and on which thread, changes no bit of any. */
import type { Part } from '../../part.ts';
import { SECTION_KEYS } from '../generators/attention-scratch.ts';
import { MAX_PIECES } from './tickets.ts';

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
  /** How many states of queries there is room for, of sections that threads divide. */
  readonly maxStates: number;
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
  /** Where the states of the queries go when the unit is a section of several, counted in states; -1 otherwise. */
  readonly firstState: number;
}

/** A sequence whose sections threads divide. */
export interface DividedSequence {
  readonly sequence: number;
  readonly numSections: number;
  /** Of all KV heads, `queriesPerHead` each. */
  readonly numQueries: number;
  readonly queriesPerHead: number;
  /** A section's states follow those of the section before; in each, those of a head those of the head before. */
  readonly firstState: number;
}

/** The same for every part. */
export function dividedSequences(batch: AttentionBatch): DividedSequence[] {
  const { queryStartLoc, seqLens, numKvHeads, numSharing, maxQueries, maxStates } = batch;
  const divided: DividedSequence[] = [];
  let [firstState, numPieces] = [0, 0];
  for (let sequence = 0; sequence < seqLens.length; sequence++) {
    const queriesPerHead = (queryStartLoc[sequence + 1]! - queryStartLoc[sequence]!) * numSharing;
    if (queriesPerHead === 0 || queriesPerHead > maxQueries) continue;
    const { firstKey, endKey } = keysOf(batch, sequence, 0, queriesPerHead);
    const numSections = endKey === firstKey ? 0 : sectionOf(endKey - 1) - sectionOf(firstKey) + 1;
    const numQueries = numKvHeads * queriesPerHead;
    if (numSections < 2 || numPieces + numSections > MAX_PIECES) continue;
    if (firstState + numSections * numQueries > maxStates) continue;
    divided.push({ sequence, numSections, numQueries, queriesPerHead, firstState });
    firstState += numSections * numQueries;
    numPieces += numSections;
  }
  return divided;
}

const sectionOf = (key: number): number => Math.floor(key / SECTION_KEYS);

/** What staging a key costs, in queries that it meets. */
const STAGING_COST = 3;

/** A part's units, of sequences that are not divided: one run of the list of all units, so that neighbours, which read the
 * same pages, stay on one thread. Runs are of equal cost to half a unit. */
export function unitsOfPart(batch: AttentionBatch, divided: readonly DividedSequence[], part: Part): AttentionUnit[] {
  let total = 0;
  forEachUnit(batch, divided, (unit) => {
    total += costOf(unit);
  });
  const units: AttentionUnit[] = [];
  let before = 0;
  forEachUnit(batch, divided, (unit) => {
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
      first.firstKey === unit.firstKey &&
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

function forEachUnit(
  batch: AttentionBatch,
  divided: readonly DividedSequence[],
  visit: (unit: AttentionUnit) => void,
): void {
  const { queryStartLoc, seqLens, numKvHeads, numSharing, maxQueries } = batch;
  const isDivided = new Set(divided.map(({ sequence }) => sequence));
  for (let sequence = 0; sequence < seqLens.length; sequence++) {
    if (isDivided.has(sequence)) continue;
    const endQuery = (queryStartLoc[sequence + 1]! - queryStartLoc[sequence]!) * numSharing;
    for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
      for (let firstQuery = 0; firstQuery < endQuery; firstQuery += maxQueries) {
        const numQueries = Math.min(maxQueries, endQuery - firstQuery);
        const keys = keysOf(batch, sequence, firstQuery, numQueries);
        visit({ sequence, kvHead, firstQuery, numQueries, ...keys, firstState: -1 });
      }
    }
  }
}

/** The units of one section of a divided sequence: all KV heads. */
export function unitsOfSection(
  batch: AttentionBatch,
  { sequence, queriesPerHead, firstState }: DividedSequence,
  section: number,
): AttentionUnit[] {
  const { numKvHeads } = batch;
  const keys = keysOf(batch, sequence, 0, queriesPerHead);
  const start = (sectionOf(keys.firstKey) + section) * SECTION_KEYS;
  const [firstKey, endKey] = [Math.max(keys.firstKey, start), Math.min(keys.endKey, start + SECTION_KEYS)];
  const unit = { sequence, firstQuery: 0, numQueries: queriesPerHead, firstKey, endKey };
  return Array.from({ length: numKvHeads }, (_, kvHead) => ({
    ...unit,
    kvHead,
    firstState: firstState + (section * numKvHeads + kvHead) * queriesPerHead,
  }));
}

/** What some of the queries see, of a sequence and KV head. */
function keysOf(
  { queryStartLoc, seqLens, numSharing, window }: AttentionBatch,
  sequence: number,
  firstQuery: number,
  numQueries: number,
): { readonly firstKey: number; readonly endKey: number } {
  const seqLen = seqLens[sequence]!;
  if (seqLen === 0) return { firstKey: 0, endKey: 0 };
  const firstPosition = seqLen - (queryStartLoc[sequence + 1]! - queryStartLoc[sequence]!);
  const firstRow = Math.floor(firstQuery / numSharing);
  const lastRow = Math.floor((firstQuery + numQueries - 1) / numSharing);
  return { firstKey: Math.max(0, firstPosition + firstRow - window + 1), endKey: firstPosition + lastRow + 1 };
}
