/** The memory in which one thread computes attention, and the shapes that kernels and their caller agree on.
 *
 *   strips    32 x 8 bytes         where 16 keys each of a section lie: 0 their keys    4 their values
 *   factors   6 x 64 bytes         weights of 16 keys times the scales of their values:
 *                                    0 16 levels of 16 bits    32 their unit f32, four times    48 its inverse, likewise
 *   queries   N x 16 bytes         one record per query:
 *                                    0 its q    4 its accumulator    8 largest score f32    12 sum of weights f32
 *   keys      4 x [D][16] f32      64 keys where kernels do not read them from their pages: lane = key. Of q8_0 strips
 *                                  lie here as in pages (ops/kv-pages.ts), and take a quarter of the room
 *   values    4 x [D/16][16][16]   likewise their values: 16 features of 16 keys, lane = feature
 *   row       [D] f32              one key or value on its way there
 *   copies    N x [D] f32          the queries as the pages' dtype asks for: times what SCALING says, or rounded (QUERY_BLOCK)
 *   accums    N x [D] f32          weighted sums of values
 *   totals    N x 16 bytes         records of what the queries have met of the sections before
 *   and       N x [D] f32          their accumulators
 *   scores    N x [528] f32        a section's scores; then weights. Not a power of two: rows would share cache lines' places
 *
 * D but for that of keys is rounded up to a multiple of 16, and what is computed there is never looked at. */
import type { I32, Local } from '../emitter/code.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';

/** Keys of a softmax: a section, which begins at multiples of it, whatever page a key lies in. It is joined with those before
 * when it is complete. So sections of a long past can be met by several threads, and every bit is the same as if one had. */
export const SECTION_KEYS = 512;
/** Keys that products take at a time, a step: with them, what they are multiplied with stays in the first-level cache. */
export const STEP_KEYS = 64;
/** Keys that are scored together; also the features that are summed together. */
export const STRIP = 16;
export const LOG2_STRIP = Math.log2(STRIP);
const STRIPS_PER_STEP = STEP_KEYS / STRIP;
const STRIPS_PER_SECTION = SECTION_KEYS / STRIP;
/** Queries that one call of a kernel takes at most. */
export const MAX_GROUP = 6;
/** Likewise where a head has few queries: kernels then read pages of any dtype as they are, which takes registers. */
export const SMALL_GROUP = 4;
/** Few queries: widening each number again for every small group costs less than a way through scratch memory. */
export const FEW_QUERIES = 2 * SMALL_GROUP;
/** Queries that share a step's keys and values on a thread, where the scratch memory has room for so many. */
const MAX_QUERIES = 64;

/** Of an entry of `strips`. */
export const STRIP_ENTRY_BYTES = 8;
export const STRIP_VALUES = 4;
/** From `strips` to `factors`. */
export const FACTORS_OFFSET = STRIPS_PER_SECTION * STRIP_ENTRY_BYTES;
/** From one query's factors to their unit, to its inverse, and to the next query's. */
export const FACTOR_UNIT = 2 * STRIP;
export const FACTOR_INVERSE = FACTOR_UNIT + 16;
export const FACTOR_ROW_BYTES = FACTOR_INVERSE + 16;
export const RECORD_BYTES = 16;
export const RECORD_ACCUMULATOR = 4;
export const RECORD_MAX = 8;
export const RECORD_SUM = 12;
/** A row of 16 numbers as f32. */
export const STRIP_ROW_BYTES = STRIP * 4;
/** From one query's scores to the next's. */
export const SCORE_ROW_BYTES = (SECTION_KEYS + STRIP) * 4;

/** Largest score before any key was seen: below every score, and finite, so that old - new is a number. */
export const LOWEST = -3e38;

export interface AttentionScratch {
  readonly strips: number;
  readonly scores: number;
  readonly queries: number;
  readonly keys: number;
  readonly values: number;
  readonly row: number;
  readonly copies: number;
  readonly accumulators: number;
  readonly totals: number;
  readonly totalAccumulators: number;
  /** Of a value and of an accumulator. */
  readonly rowBytes: number;
  /** Queries that there is room for; less than 1 when there is none. */
  readonly numQueries: number;
}

/** @param start  address of the memory, a multiple of 16
 * @param byteLength  how much there is */
export function attentionScratch(start: number, byteLength: number, headDim: number): AttentionScratch {
  const queries = start + FACTORS_OFFSET + MAX_GROUP * FACTOR_ROW_BYTES;
  const keys = queries + MAX_QUERIES * RECORD_BYTES;
  const values = keys + STRIPS_PER_STEP * headDim * STRIP_ROW_BYTES;
  const rowBytes = Math.ceil(headDim / STRIP) * STRIP * 4;
  const row = values + STEP_KEYS * rowBytes;
  const copies = row + rowBytes;
  const room = start + byteLength - copies;
  const numQueries = Math.min(MAX_QUERIES, Math.floor(room / (3 * rowBytes + RECORD_BYTES + SCORE_ROW_BYTES)));
  const accumulators = copies + numQueries * rowBytes;
  const totals = accumulators + numQueries * rowBytes;
  const totalAccumulators = totals + numQueries * RECORD_BYTES;
  const scores = totalAccumulators + numQueries * rowBytes;
  const places = { strips: start, queries, keys, values, row, copies, accumulators, totals, totalAccumulators, scores };
  return { ...places, rowBytes, numQueries };
}

/** Strips `start` to `end` - 1 (multiples of 16) hold keys `from` to `to` - 1. */
export function stripRange(fn: FunctionBuilder, { from, to }: Readonly<Record<'from' | 'to', Local<'i32'>>>) {
  const [start, end] = fn.locals('i32', 2) as [Local<'i32'>, Local<'i32'>];
  const code = [
    start.set(i32.and(from, i32.const(-STRIP))),
    end.set(i32.and(i32.add(to, i32.const(STRIP - 1)), i32.const(-STRIP))),
  ];
  return { start, end, code };
}

/** Address of the entry of the strip that holds a key of the section. */
export function stripEntry(strips: I32, key: I32): I32 {
  return i32.add(strips, i32.mul(i32.shrU(key, i32.const(LOG2_STRIP)), i32.const(STRIP_ENTRY_BYTES)));
}

/** How many strips of features there are. */
export function stripsOf(headDim: Local<'i32'>): I32 {
  return i32.shrU(i32.add(headDim, i32.const(STRIP - 1)), i32.const(LOG2_STRIP));
}
