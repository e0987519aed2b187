/** The memory in which one thread computes attention, and the shapes that kernels and their caller agree on.
 *
 *   strips    4 x 8 bytes          where 16 keys each of a step lie: i32 address of keys [D][16], of values, row by row
 *   scores    N x [64] f32         a step's scores; then weights
 *   queries   N x 16 bytes         one record per query:
 *                                    0 its q    4 its accumulator    8 largest score f32    12 sum of weights f32
 *   keys      4 x [D][16] f32      a step's keys where they do not lie so in their pages: lane = key
 *   values    [64][D] f32          likewise its values: lane = feature
 *   accums    N x [D] f32          weighted sums of values
 *
 * D of values and accumulators is rounded up to a multiple of 16, and what is computed there is never looked at. */

/** Keys per step of the online softmax. Steps begin at multiples of it, whatever page a key lies in. */
export const STEP_KEYS = 64;
/** Keys that are scored together; also the features that are summed together. */
export const STRIP = 16;
export const STRIPS_PER_STEP = STEP_KEYS / STRIP;
/** Queries that one call of a kernel takes at most. */
export const MAX_GROUP = 6;
/** Queries that share a step's keys and values on a thread, where the scratch memory has room for so many. */
const MAX_QUERIES = 64;

/** Of an entry of `strips`. */
export const STRIP_ENTRY_BYTES = 8;
export const RECORD_BYTES = 16;
export const RECORD_ACCUMULATOR = 4;
export const RECORD_MAX = 8;
export const RECORD_SUM = 12;
/** From one feature's keys to the next's, in a strip. */
export const STRIP_ROW_BYTES = STRIP * 4;
/** From one query's scores to the next's. */
export const SCORE_ROW_BYTES = STEP_KEYS * 4;

/** Largest score before any key was seen: below every score, and finite, so that old - new is a number. */
export const LOWEST = -3e38;

export interface AttentionScratch {
  readonly strips: number;
  readonly scores: number;
  readonly queries: number;
  readonly keys: number;
  readonly values: number;
  readonly accumulators: number;
  /** Of a row of values and of an accumulator. */
  readonly rowBytes: number;
  /** Queries that there is room for; less than 1 when there is none. */
  readonly numQueries: number;
}

/** @param start  address of the memory, a multiple of 16
 * @param byteLength  how much there is */
export function attentionScratch(start: number, byteLength: number, headDim: number): AttentionScratch {
  const queries = start + STRIPS_PER_STEP * STRIP_ENTRY_BYTES;
  const keys = queries + MAX_QUERIES * RECORD_BYTES;
  const values = keys + STRIPS_PER_STEP * headDim * STRIP_ROW_BYTES;
  const rowBytes = Math.ceil(headDim / STRIP) * STRIP * 4;
  const perQuery = values + STEP_KEYS * rowBytes;
  const room = start + byteLength - perQuery;
  const numQueries = Math.min(MAX_QUERIES, Math.floor(room / (rowBytes + SCORE_ROW_BYTES)));
  const scores = perQuery + numQueries * rowBytes;
  return { strips: start, scores, queries, keys, values, accumulators: perQuery, rowBytes, numQueries };
}
