/** The walk of one unit's queries over the keys they see. Kernels do the work of each step (generators/attention.ts).
 *
 *   for 64 keys at a time, from the first that any of the queries sees to the last:
 *     find where the keys and values lie, or bring them to where they can be read            step-strips.ts
 *     for up to 6 queries that see the same of them:                                         attention_1 to attention_6
 *       scores, online softmax, weighted values
 *   for each query: divide by the sum of weights                                             attention_finish
 *
 * Queries of rows that see all 64 keys are taken six at a time. Of other rows (at the diagonal of a prompt, at the edge of a
 * window) only heads of one row see the same. */
import type { PagedAttentionArgs } from '../../ops.ts';
import {
  type AttentionScratch,
  LOWEST,
  MAX_GROUP,
  RECORD_BYTES,
  RECORD_MAX,
  RECORD_SUM,
  STEP_KEYS,
} from '../generators/attention-scratch.ts';
import type { Kernel } from '../kernel-module.ts';
import type { LinearMemory } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf } from '../wasm-buffer.ts';
import type { AttentionUnit } from './attention-units.ts';
import { StepStrips } from './step-strips.ts';

/** The largest score of a query that met none, as memory holds it. */
const NO_SCORE = Math.fround(LOWEST);

export class AttentionWalk {
  readonly #memory: LinearMemory;
  readonly #scratch: AttentionScratch;
  readonly #strips: StepStrips;
  /** By number of queries. */
  readonly #attention: readonly Kernel[];
  readonly #maxGroup: number;
  readonly #finishQuery: Kernel;
  readonly #q: number;
  readonly #out: number;
  readonly #numHeads: number;
  readonly #headDim: number;
  readonly #numSharing: number;
  readonly #window: number;
  readonly #scale: number;
  readonly #softCap: number | undefined;

  constructor(machine: Machine, args: PagedAttentionArgs, scratch: AttentionScratch) {
    const { kernels, memory } = machine;
    this.#memory = memory;
    this.#scratch = scratch;
    this.#strips = new StepStrips(machine, args, scratch);
    this.#attention = Array.from({ length: MAX_GROUP + 1 }, (_, n) => kernels[`attention_${n}`]!);
    // More sums than registers hold cost more than they save.
    this.#maxGroup = machine.tileGroups === 2 ? MAX_GROUP : 4;
    this.#finishQuery = kernels.attention_finish!;
    this.#q = addressOf(args.q);
    this.#out = addressOf(args.out);
    [, this.#numHeads, this.#headDim] = args.q.shape as [number, number, number];
    this.#numSharing = this.#numHeads / args.keyCache.shape[1]!;
    this.#window = args.slidingWindow ?? Number.POSITIVE_INFINITY;
    this.#scale = args.scale;
    this.#softCap = args.softCap;
  }

  /** @param firstRow  the sequence's first row in q
   * @param firstPosition  its position */
  attend(unit: AttentionUnit, firstRow: number, firstPosition: number): void {
    this.#begin(unit, firstRow);
    for (let start = unit.firstKey - (unit.firstKey % STEP_KEYS); start < unit.endKey; start += STEP_KEYS) {
      this.#strips.place(unit, start);
      this.#meet(unit, start, firstPosition);
    }
    this.#finish(unit, firstRow);
  }

  /** A record and an empty accumulator for each query. */
  #begin({ kvHead, firstQuery, numQueries }: AttentionUnit, firstRow: number): void {
    const { ints, floats } = this.#memory;
    const { queries, accumulators, rowBytes } = this.#scratch;
    for (let i = 0; i < numQueries; i++) {
      const record = (queries + i * RECORD_BYTES) / 4;
      ints[record] = this.#q + this.#offsetOf(firstRow, kvHead, firstQuery + i);
      ints[record + 1] = accumulators + i * rowBytes;
      floats[record + RECORD_MAX / 4] = LOWEST;
      floats[record + RECORD_SUM / 4] = 0;
    }
    floats.fill(0, accumulators / 4, (accumulators + numQueries * rowBytes) / 4);
  }

  /** Bytes from the start of q, or of out, to a query's. */
  #offsetOf(firstRow: number, kvHead: number, query: number): number {
    const row = firstRow + Math.floor(query / this.#numSharing);
    const head = kvHead * this.#numSharing + (query % this.#numSharing);
    return (row * this.#numHeads + head) * this.#headDim * 4;
  }

  /** Every query of the unit meets what it sees of the step. */
  #meet({ firstQuery, numQueries }: AttentionUnit, start: number, firstPosition: number): void {
    const numSharing = this.#numSharing;
    // From the first row whose own position is the step's last or later, to the last whose window reaches its first.
    const firstFull = (start + STEP_KEYS - 1 - firstPosition) * numSharing - firstQuery;
    const endFull = Math.min(numQueries, (start + this.#window - firstPosition) * numSharing - firstQuery);
    for (let i = 0; i < numQueries; ) {
      const isFull = i >= firstFull && i < endFull;
      const row = Math.floor((firstQuery + i) / numSharing);
      const limit = isFull ? endFull : Math.min(numQueries, (row + 1) * numSharing - firstQuery);
      const count = Math.min(this.#maxGroup, limit - i);
      const position = firstPosition + row;
      const from = isFull ? 0 : Math.max(0, position - this.#window + 1 - start);
      const to = isFull ? STEP_KEYS : Math.min(STEP_KEYS, position + 1 - start);
      if (from < to) this.#attendGroup(i, count, from, to);
      i += count;
    }
  }

  #attendGroup(first: number, count: number, from: number, to: number): void {
    const { queries, strips, scores } = this.#scratch;
    const { valueBytes } = this.#strips;
    const records = queries + first * RECORD_BYTES;
    const isCapped = this.#softCap === undefined ? 0 : 1;
    const softCap = this.#softCap ?? 0;
    const kernel = this.#attention[count]!;
    kernel(records, strips, scores, this.#headDim, valueBytes, from, to, isCapped, this.#scale, softCap);
  }

  #finish({ kvHead, firstQuery, numQueries, firstKey, endKey }: AttentionUnit, firstRow: number): void {
    const { floats } = this.#memory;
    for (let i = 0; i < numQueries; i++) {
      const record = this.#scratch.queries + i * RECORD_BYTES;
      const sum = (record + RECORD_SUM) / 4;
      // A padding row sees nothing and becomes zeros: 0 / 1.
      if (firstKey === endKey) floats[sum] = 1;
      // Every score was -infinity: no weight has anything to be compared with.
      else if (floats[(record + RECORD_MAX) / 4] === NO_SCORE) floats[sum] = Number.NaN;
      this.#finishQuery(record, this.#out + this.#offsetOf(firstRow, kvHead, firstQuery + i), this.#headDim);
    }
  }
}
