/** Queries of a batch: where they lie, and what they see. Pure arithmetic over positions; no memory, no kernel. */

/** What layers with the same heads and the same window have in common. */
export interface AttentionShape {
  readonly numKvHeads: number;
  /** Query heads per KV head. */
  readonly numSharing: number;
  /** Infinity when every earlier token is seen. */
  readonly window: number;
  /** Largest number of queries that are walked together. */
  readonly maxQueries: number;
  /** How many states of queries there is room for, of sections that threads divide. */
  readonly maxStates: number;
}

export interface AttentionBatch extends AttentionShape {
  readonly queryStartLoc: Int32Array;
  readonly seqLens: Int32Array;
}

/** A KV head of a sequence: its part of the sequence's pages. */
export interface HeadOfSequence {
  readonly sequence: number;
  readonly kvHead: number;
}

/** Queries of a sequence: the same ones of `numHeads` neighbouring KV heads, one head's after the other's. */
export interface SequenceQueries {
  readonly sequence: number;
  readonly firstKvHead: number;
  readonly numHeads: number;
  /** Of a head. Query i is head i % numSharing of row floor(i / numSharing) of the sequence. */
  readonly firstQuery: number;
  readonly headQueries: number;
}

/** Keys `firstKey` to `endKey` - 1. */
export interface KeyRange {
  readonly firstKey: number;
  readonly endKey: number;
}

/** Queries that lie side by side in q, and in out. */
export interface Span {
  /** Of the queries in question: the first, and how many. */
  readonly first: number;
  readonly count: number;
  /** Queries before it in q. */
  readonly place: number;
}

const numRowsOf = ({ queryStartLoc }: AttentionBatch, sequence: number): number =>
  queryStartLoc[sequence + 1]! - queryStartLoc[sequence]!;

/** How many queries of a KV head a sequence has. */
export const headQueriesOf = (batch: AttentionBatch, sequence: number): number =>
  numRowsOf(batch, sequence) * batch.numSharing;

/** The position of a sequence's first row. */
const firstPositionOf = (batch: AttentionBatch, sequence: number): number =>
  batch.seqLens[sequence]! - numRowsOf(batch, sequence);

/** What some of the queries see: nothing where the sequence is padding. */
export function keysOf(batch: AttentionBatch, { sequence, firstQuery, headQueries }: SequenceQueries): KeyRange {
  const { seqLens, numSharing, window } = batch;
  if (seqLens[sequence] === 0) return { firstKey: 0, endKey: 0 };
  const firstPosition = firstPositionOf(batch, sequence);
  const firstRow = Math.floor(firstQuery / numSharing);
  const lastRow = Math.floor((firstQuery + headQueries - 1) / numSharing);
  return { firstKey: Math.max(0, firstPosition + firstRow - window + 1), endKey: firstPosition + lastRow + 1 };
}

/** What a thread does in one go: queries, and keys that some of them see. Of each page all their heads' parts are read, which lie
 * side by side, before the next page's: memory is fast in long runs only. */
export interface AttentionRun extends SequenceQueries, KeyRange {
  /** The position of the sequence's first row. */
  readonly firstPosition: number;
  /** Of all the queries. */
  readonly spans: readonly Span[];
  /** Where the states of the queries go when the keys are a section of several, counted in states; -1 otherwise. */
  readonly firstState: number;
}

/** All that the queries have to do. */
export function runOf(batch: AttentionBatch, queries: SequenceQueries, firstState: number): AttentionRun {
  return {
    ...queries,
    ...keysOf(batch, queries),
    firstPosition: firstPositionOf(batch, queries.sequence),
    spans: spansOf(batch, queries, 0, queries.numHeads * queries.headQueries),
    firstState,
  };
}

/** Where `count` of the queries lie, from the `first` on. */
export function spansOf(batch: AttentionBatch, queries: SequenceQueries, first: number, count: number): Span[] {
  const { queryStartLoc, numKvHeads, numSharing } = batch;
  const { sequence, firstKvHead, firstQuery, headQueries } = queries;
  const spans: { first: number; count: number; place: number }[] = [];
  for (let i = 0; i < count; i++) {
    const kvHead = firstKvHead + Math.floor((first + i) / headQueries);
    const query = firstQuery + ((first + i) % headQueries);
    const row = queryStartLoc[sequence]! + Math.floor(query / numSharing);
    const place = (row * numKvHeads + kvHead) * numSharing + (query % numSharing);
    const last = spans.at(-1);
    if (last !== undefined && last.place + last.count === place) last.count++;
    else spans.push({ first: i, count: 1, place });
  }
  return spans;
}
