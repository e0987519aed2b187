/** The walk of some units' queries over the keys they see. Kernels do the work (generators/attention.ts).
 *
 *   for 64 keys at a time (a step), from the first that any of the queries sees to the last:
 *     for some of them, for each unit: find where the keys lie, or bring them to where they can be read; scores
 *     for each unit:                   online softmax
 *     for some of them, for each unit: likewise values; weighted sums
 *   for each query: divide by the sum of weights
 *
 * Kernels take up to 6 queries at a time. Queries of rows that see all 64 keys go together; of other rows (at the diagonal
 * of a prompt, at the edge of a window) only heads of one row see the same.
 *
 * "Some of them" are all 64 for a prompt, where many queries meet a key while it is in the cache. For a single token they
 * are a page's 16: the parts of all heads in a page lie side by side, and memory is read in one run. */
import type { PagedAttentionArgs } from '../../ops.ts';
import { stripsOfTile } from '../generators/attention.ts';
import {
  type AttentionScratch,
  LOWEST,
  MAX_GROUP,
  RECORD_BYTES,
  RECORD_MAX,
  RECORD_SUM,
  SCORE_ROW_BYTES,
  STEP_KEYS,
  STRIP,
} from '../generators/attention-scratch.ts';
import type { Kernel } from '../kernel-module.ts';
import type { LinearMemory } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf } from '../wasm-buffer.ts';
import type { AttentionUnit } from './attention-units.ts';
import { StepStrips } from './step-strips.ts';

/** The largest score of a query that met none, as memory holds it. */
const NO_SCORE = Math.fround(LOWEST);

/** Queries `first` to `first + count` - 1 of a unit see keys `from` to `to` - 1 of a step. */
interface Group {
  readonly first: number;
  readonly count: number;
  readonly from: number;
  readonly to: number;
}

/** The next multiple of `size` after the key. */
const after = (key: number, size: number): number => key - (key % size) + size;

export class AttentionWalk {
  readonly #memory: LinearMemory;
  readonly #scratch: AttentionScratch;
  readonly #strips: StepStrips;
  /** By number of queries. */
  readonly #score: readonly Kernel[];
  readonly #softmax: readonly Kernel[];
  readonly #addValues: readonly Kernel[];
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
    const byCount = (name: string) =>
      Array.from({ length: MAX_GROUP + 1 }, (_, n) => kernels[`attention_${name}_${n}`]!);
    [this.#score, this.#softmax, this.#addValues] = [byCount('scores'), byCount('softmax'), byCount('values')];
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

  /** @param units  of one sequence and the same rows: they see the same keys
   * @param firstRow  the sequence's first row in q
   * @param firstPosition  its position */
  attend(units: readonly AttentionUnit[], firstRow: number, firstPosition: number): void {
    const { firstKey, endKey, numQueries } = units[0]!;
    for (const [i, unit] of units.entries()) this.#begin(unit, i * numQueries, firstRow);
    for (let start = firstKey - (firstKey % STEP_KEYS); start < endKey; start += STEP_KEYS) {
      this.#meet(units, start, this.#groupsOf(units[0]!, start, firstPosition));
    }
    for (const [i, unit] of units.entries()) this.#finish(unit, i * numQueries, firstRow);
  }

  /** A record and an empty accumulator for each query.
   * @param base  the unit's first record */
  #begin({ kvHead, firstQuery, numQueries }: AttentionUnit, base: number, firstRow: number): void {
    const { ints, floats } = this.#memory;
    const { queries, accumulators, rowBytes } = this.#scratch;
    for (let i = 0; i < numQueries; i++) {
      const record = (queries + (base + i) * RECORD_BYTES) / 4;
      const accumulator = accumulators + (base + i) * rowBytes;
      ints[record] = this.#q + this.#offsetOf(firstRow, kvHead, firstQuery + i);
      ints[record + 1] = accumulator;
      floats[record + RECORD_MAX / 4] = LOWEST;
      floats[record + RECORD_SUM / 4] = 0;
      floats.fill(0, accumulator / 4, (accumulator + rowBytes) / 4);
    }
  }

  /** Bytes from the start of q, or of out, to a query's. */
  #offsetOf(firstRow: number, kvHead: number, query: number): number {
    const row = firstRow + Math.floor(query / this.#numSharing);
    const head = kvHead * this.#numSharing + (query % this.#numSharing);
    return (row * this.#numHeads + head) * this.#headDim * 4;
  }

  /** Queries that see the same of the step that begins at `start`, up to 6 at a time. The same for each unit. */
  #groupsOf({ firstQuery, numQueries }: AttentionUnit, start: number, firstPosition: number): Group[] {
    const numSharing = this.#numSharing;
    const groups: Group[] = [];
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
      if (from < to) groups.push({ first: i, count, from, to });
      i += count;
    }
    return groups;
  }

  /** Every query of the units meets what it sees of the step. */
  #meet(units: readonly AttentionUnit[], start: number, groups: readonly Group[]): void {
    const { firstKey, endKey, numQueries } = units[0]!;
    const [first, end] = [Math.max(firstKey, start), Math.min(endKey, start + STEP_KEYS)];
    const atOnce = numQueries > MAX_GROUP ? STEP_KEYS : STRIP * stripsOfTile(numQueries);
    for (let from = first; from < end; from = after(from, atOnce)) {
      const to = Math.min(end, after(from, atOnce));
      for (let i = 0; i < units.length; i++) {
        this.#strips.placeKeys(units[i]!, start, from, to);
        for (const group of groups) this.#scoreGroup(i * numQueries, group, from - start, to - start);
      }
    }
    for (let i = 0; i < units.length; i++) {
      for (const group of groups) this.#softmaxGroup(i * numQueries, group);
    }
    for (let from = first; from < end; from = after(from, atOnce)) {
      const to = Math.min(end, after(from, atOnce));
      for (let i = 0; i < units.length; i++) {
        this.#strips.placeValues(units[i]!, start, from, to);
        for (const group of groups) this.#addGroup(i * numQueries, group, from - start, to - start);
      }
    }
  }

  #scoreGroup(base: number, group: Group, first: number, end: number): void {
    const [from, to] = [Math.max(group.from, first), Math.min(group.to, end)];
    if (from >= to) return;
    const { strips } = this.#scratch;
    const { records, scores } = this.#placeOf(base + group.first);
    this.#score[group.count]!(records, strips, scores, this.#headDim, from, to, this.#scale);
  }

  #softmaxGroup(base: number, { first, count, from, to }: Group): void {
    const { records, scores } = this.#placeOf(base + first);
    const isCapped = this.#softCap === undefined ? 0 : 1;
    this.#softmax[count]!(records, scores, this.#headDim, from, to, isCapped, this.#softCap ?? 0);
  }

  #addGroup(base: number, group: Group, first: number, end: number): void {
    const [from, to] = [Math.max(group.from, first), Math.min(group.to, end)];
    if (from >= to) return;
    const { strips } = this.#scratch;
    const { records, scores } = this.#placeOf(base + group.first);
    this.#addValues[group.count]!(records, strips, scores, this.#headDim, this.#strips.valueBytes, from, to);
  }

  #placeOf(query: number): { readonly records: number; readonly scores: number } {
    const { queries, scores } = this.#scratch;
    return { records: queries + query * RECORD_BYTES, scores: scores + query * SCORE_ROW_BYTES };
  }

  #finish(unit: AttentionUnit, base: number, firstRow: number): void {
    const { kvHead, firstQuery, numQueries, firstKey, endKey } = unit;
    const { floats } = this.#memory;
    for (let i = 0; i < numQueries; i++) {
      const record = this.#scratch.queries + (base + i) * RECORD_BYTES;
      const sum = (record + RECORD_SUM) / 4;
      // A padding row sees nothing and becomes zeros: 0 / 1.
      if (firstKey === endKey) floats[sum] = 1;
      // Every score was -infinity: no weight has anything to be compared with.
      else if (floats[(record + RECORD_MAX) / 4] === NO_SCORE) floats[sum] = Number.NaN;
      this.#finishQuery(record, this.#out + this.#offsetOf(firstRow, kvHead, firstQuery + i), this.#headDim);
    }
  }
}
