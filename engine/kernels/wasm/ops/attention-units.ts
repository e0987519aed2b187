/** How threads divide sequences whose past they do not: into units, of which each thread gets its share in advance.
 *
 *   sequence 0, 3 rows, 2 query heads per KV head    queries   row 0: h0 h1   row 1: h0 h1   row 2: h0 h1
 *   (kvHead 0, queries 0 to 5), (kvHead 1, ...), ... ->        one unit, as far as scratch memory goes
 *
 * A unit is queries of neighbouring rows that share a KV head and so its pages: each page is read once for all of them. */
import type { Part } from '../../part.ts';
import {
  type AttentionBatch,
  type AttentionRun,
  headQueriesOf,
  keysOf,
  runOf,
  type SequenceQueries,
} from './attention-queries.ts';

/** What staging a key costs, in queries that it meets. */
const STAGING_COST = 3;

/** A part's runs, of sequences that are not divided: a piece of the list of all units, so that neighbours, which read the same
 * pages, stay on one thread. Pieces are of equal cost to half a unit. */
export function runsOfPart(batch: AttentionBatch, divided: ReadonlySet<number>, part: Part): AttentionRun[] {
  const units = unitsOf(batch, divided);
  const costs = units.map((unit) => costOf(batch, unit));
  const total = costs.reduce((sum, cost) => sum + cost, 0);
  let before = 0;
  const isOwn = (cost: number): boolean => {
    const middle = before + cost / 2;
    before += cost;
    return Math.floor((middle * part.count) / total) === part.index;
  };
  const own = units.filter((_, i) => isOwn(costs[i]!));
  return joinNeighbours(own, batch.maxQueries).map((queries) => runOf(batch, queries, -1));
}

function costOf(batch: AttentionBatch, unit: SequenceQueries): number {
  const { firstKey, endKey } = keysOf(batch, unit);
  return 1 + (endKey - firstKey) * (unit.headQueries + STAGING_COST);
}

function unitsOf(batch: AttentionBatch, divided: ReadonlySet<number>): SequenceQueries[] {
  const { seqLens, numKvHeads, maxQueries } = batch;
  const units: SequenceQueries[] = [];
  for (let sequence = 0; sequence < seqLens.length; sequence++) {
    if (divided.has(sequence)) continue;
    const endQuery = headQueriesOf(batch, sequence);
    for (let firstKvHead = 0; firstKvHead < numKvHeads; firstKvHead++) {
      for (let firstQuery = 0; firstQuery < endQuery; firstQuery += maxQueries) {
        const headQueries = Math.min(maxQueries, endQuery - firstQuery);
        units.push({ sequence, firstKvHead, numHeads: 1, firstQuery, headQueries });
      }
    }
  }
  return units;
}

/** Puts units of the same rows and neighbouring KV heads together, as many as there is room for. */
function joinNeighbours(units: readonly SequenceQueries[], maxQueries: number): SequenceQueries[] {
  const joined: SequenceQueries[] = [];
  for (const unit of units) {
    const last = joined.at(-1);
    const isNext =
      last?.sequence === unit.sequence &&
      last.firstQuery === unit.firstQuery &&
      last.firstKvHead + last.numHeads === unit.firstKvHead &&
      (last.numHeads + 1) * last.headQueries <= maxQueries;
    if (isNext) joined[joined.length - 1] = { ...last, numHeads: last.numHeads + 1 };
    else joined.push(unit);
  }
  return joined;
}
