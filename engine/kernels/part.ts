/** How one op is split among workers that all run the same call (SPMD). A part is a contiguous share of the op's
 * units: output features, token rows, KV heads, elements; each op's file says which. Parts write disjoint outputs and
 * each output element is computed by exactly one part in its usual order, so the number of parts never changes a bit
 * of the result (law 2). Nothing here knows of threads: whoever runs several parts puts a barrier after each op. */

export interface Part {
  /** From 0 to count - 1. */
  readonly index: number;
  readonly count: number;
}

/** Where threads that run the same program wait for each other. */
export interface Gate {
  /** Returns when every thread has called it. */
  wait(): void;
  /** Another number each time that all have met: the same for all threads from one meeting to the next. */
  readonly generation: number;
}

/** A thread among those that run the same ops. */
export interface PartOfThreads {
  readonly part: Part;
  readonly gate: Gate;
}

/** One caller does everything. */
export const WHOLE: Part = { index: 0, count: 1 };

/** First unit of a part. The shares of all parts differ by at most one unit and cover 0 to `numUnits` without gaps. */
export function partStart(numUnits: number, part: Part): number {
  return Math.floor((numUnits * part.index) / part.count);
}

/** One past the last unit of a part. */
export function partEnd(numUnits: number, part: Part): number {
  return Math.floor((numUnits * (part.index + 1)) / part.count);
}
