/** How threads divide the past of few rows: by sections, all KV heads of each.
 *
 *   sequence 1, 1 row, 1,300 keys   ->   keys 0 to 511   keys 512 to 1,023   keys 1,024 to 1,299
 *
 * A thread then reads whole pages, one after the other. Reading every second 16 KiB, as a thread with half of the heads would, is
 * half as fast. Sections are taken by whoever is ready (tickets.ts). What each came to lies in memory that all threads see, as
 * states of its queries; when all have been met, each thread joins those of some queries. */
import { type Part, partEnd, partStart } from '../../part.ts';
import { SECTION_KEYS } from '../generators/attention-scratch.ts';
import {
  type AttentionBatch,
  type AttentionRun,
  headQueriesOf,
  keysOf,
  runOf,
  type SequenceQueries,
  type Span,
  spansOf,
} from './attention-queries.ts';
import { MAX_PIECES } from './tickets.ts';

/** A sequence whose sections threads divide: all its queries. */
export interface DividedSequence extends SequenceQueries {
  readonly numSections: number;
  /** Of all KV heads. */
  readonly numQueries: number;
  /** A section's states follow those of the section before. */
  readonly firstState: number;
}

/** Queries whose sections one thread joins. */
export interface Join {
  readonly count: number;
  readonly spans: readonly Span[];
  /** Of the first section, and how far it is from there to the next one's. */
  readonly firstState: number;
  readonly sectionStates: number;
  readonly numSections: number;
}

/** The same for every part. */
export function dividedSequences(batch: AttentionBatch): DividedSequence[] {
  const { seqLens, numKvHeads, maxQueries, maxStates } = batch;
  const divided: DividedSequence[] = [];
  let [firstState, numPieces] = [0, 0];
  for (let sequence = 0; sequence < seqLens.length; sequence++) {
    const headQueries = headQueriesOf(batch, sequence);
    if (headQueries === 0 || headQueries > maxQueries) continue;
    const queries = { sequence, firstKvHead: 0, numHeads: numKvHeads, firstQuery: 0, headQueries };
    const numSections = numSectionsOf(batch, queries);
    const numQueries = numKvHeads * headQueries;
    const pieces = numSections * Math.ceil(numKvHeads / headsPerRun(batch, queries));
    if (numSections < 2 || numPieces + pieces > MAX_PIECES) continue;
    if (firstState + numSections * numQueries > maxStates) continue;
    divided.push({ ...queries, numSections, numQueries, firstState });
    firstState += numSections * numQueries;
    numPieces += pieces;
  }
  return divided;
}

const sectionOf = (key: number): number => Math.floor(key / SECTION_KEYS);

function numSectionsOf(batch: AttentionBatch, queries: SequenceQueries): number {
  const { firstKey, endKey } = keysOf(batch, queries);
  return endKey === firstKey ? 0 : sectionOf(endKey - 1) - sectionOf(firstKey) + 1;
}

const headsPerRun = ({ maxQueries }: AttentionBatch, { headQueries }: SequenceQueries): number =>
  Math.floor(maxQueries / headQueries);

/** All sections of all divided sequences, where all KV heads of one are as many queries as there is room for. */
export function sectionRuns(batch: AttentionBatch, divided: readonly DividedSequence[]): AttentionRun[] {
  return divided.flatMap((entry) => {
    const heads = groupsOfHeads(batch, entry);
    return Array.from({ length: entry.numSections }, (_, i) => heads.map((run) => sectionRun(run, entry, i))).flat();
  });
}

/** All that an entry's queries have to do, for as many KV heads at a time as there is room for. */
function groupsOfHeads(batch: AttentionBatch, entry: DividedSequence): AttentionRun[] {
  const { sequence, firstQuery, headQueries } = entry;
  const most = headsPerRun(batch, entry);
  return Array.from({ length: Math.ceil(entry.numHeads / most) }, (_, i) => {
    const firstKvHead = i * most;
    const numHeads = Math.min(most, entry.numHeads - firstKvHead);
    const queries = { sequence, firstKvHead, numHeads, firstQuery, headQueries };
    return runOf(batch, queries, entry.firstState + firstKvHead * headQueries);
  });
}

/** What a run has to do in one of the sections. */
function sectionRun(run: AttentionRun, { numQueries }: DividedSequence, section: number): AttentionRun {
  const start = (sectionOf(run.firstKey) + section) * SECTION_KEYS;
  return {
    ...run,
    firstKey: Math.max(run.firstKey, start),
    endKey: Math.min(run.endKey, start + SECTION_KEYS),
    firstState: run.firstState + section * numQueries,
  };
}

/** A part's share of all divided queries, as many at a time as there is room for. */
export function joinsOfPart(batch: AttentionBatch, divided: readonly DividedSequence[], part: Part): Join[] {
  const total = divided.reduce((sum, { numQueries }) => sum + numQueries, 0);
  const [start, end] = [partStart(total, part), partEnd(total, part)];
  const joins: Join[] = [];
  let before = 0;
  for (const entry of divided) {
    const { numQueries, numSections } = entry;
    const [from, to] = [Math.max(0, start - before), Math.min(numQueries, end - before)];
    for (let first = from; first < to; first += batch.maxQueries) {
      const count = Math.min(batch.maxQueries, to - first);
      const states = { firstState: entry.firstState + first, sectionStates: numQueries, numSections };
      joins.push({ count, spans: spansOf(batch, entry, first, count), ...states });
    }
    before += numQueries;
  }
  return joins;
}
