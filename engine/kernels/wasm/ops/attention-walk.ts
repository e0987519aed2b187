/** The walk of some units' queries over the keys they see. Kernels do the work (generators/attention-*.ts).
 *
 *   for 64 keys at a time (a step), from the first that any of the queries sees to the last:
 *     find where the keys and values lie, or bring them to where they can be read
 *     scores; online softmax; weighted sums of values          a kernel call each, for up to 6 queries of every head
 *     at the end of a section: join what was met of it to what was met before          attention-states.ts
 *   for each query: divide by the sum of weights
 *
 * Queries of rows that see all 64 keys go together; of other rows (at the diagonal of a prompt, at the edge of a window)
 * only heads of one row see the same.
 *
 * Where kernels read pages as they are, a call takes the same queries of all units: the parts of neighbouring heads in a
 * page lie side by side, and memory is read in long runs, page by page. */
import type { PagedAttentionArgs } from '../../ops.ts';
import {
  type AttentionScratch,
  FEW_QUERIES,
  MAX_GROUP,
  RECORD_BYTES,
  SCORE_ROW_BYTES,
  SECTION_KEYS,
  SMALL_GROUP,
  STEP_KEYS,
} from '../generators/attention-scratch.ts';
import type { Kernel } from '../kernel-module.ts';
import type { Machine } from '../machine.ts';
import type { AttentionStates } from './attention-states.ts';
import type { AttentionUnit } from './attention-units.ts';
import { StepStrips } from './step-strips.ts';

/** Queries `first` to `first + count` - 1 of a unit see keys `from` to `to` - 1 of a step. */
interface Group {
  readonly first: number;
  readonly count: number;
  readonly from: number;
  readonly to: number;
}

/** What a call of kernels takes: for each of `numHeads` units, from that of record `base` on, a group of queries. */
interface Heads {
  readonly base: number;
  readonly numHeads: number;
  readonly headQueries: number;
  readonly source: 'pages' | 'scratch';
}

/** By number of queries. */
interface ProductKernels {
  readonly score: readonly Kernel[];
  readonly addValues: readonly Kernel[];
}

export class AttentionWalk {
  readonly #scratch: AttentionScratch;
  readonly #states: AttentionStates;
  readonly #strips: StepStrips;
  readonly #products: Readonly<Record<'pages' | 'scratch', ProductKernels>>;
  readonly #softmax: readonly Kernel[];
  /** Most queries that a call takes of units with many. */
  readonly #maxGroup: number;
  readonly #headDim: number;
  readonly #numSharing: number;
  readonly #window: number;
  readonly #scale: number;
  readonly #softCap: number | undefined;

  constructor(machine: Machine, args: PagedAttentionArgs, scratch: AttentionScratch, states: AttentionStates) {
    const { kernels } = machine;
    this.#scratch = scratch;
    this.#states = states;
    this.#strips = new StepStrips(machine, args, scratch);
    const byCount = (name: string) =>
      Array.from({ length: MAX_GROUP + 1 }, (_, n) => kernels[`attention_${name}_${n}`]!);
    const products = (dtype: string): ProductKernels => ({
      score: byCount(`scores_${dtype}`),
      addValues: byCount(`values_${dtype}`),
    });
    this.#products = { pages: products(this.#strips.pages.dtype), scratch: products('f32') };
    this.#softmax = byCount('softmax');
    // More sums than registers hold cost more than they save.
    this.#maxGroup = machine.tileGroups === 2 ? MAX_GROUP : SMALL_GROUP;
    const [, numHeads, headDim] = args.q.shape as [number, number, number];
    this.#headDim = headDim;
    this.#numSharing = numHeads / args.keyCache.shape[1]!;
    this.#window = args.slidingWindow ?? Number.POSITIVE_INFINITY;
    this.#scale = args.scale;
    this.#softCap = args.softCap;
  }

  /** @param units  of one sequence and the same rows: they see the same keys
   * @param firstRow  the sequence's first row in q
   * @param firstPosition  its position */
  attend(units: readonly AttentionUnit[], firstRow: number, firstPosition: number): void {
    const { firstKey, endKey, numQueries, firstState } = units[0]!;
    const source = this.#strips.sourceOf(numQueries);
    const endOfFirst = firstKey - (firstKey % SECTION_KEYS) + SECTION_KEYS;
    const isJoined = firstState !== -1 || endKey > endOfFirst;
    this.#states.begin(units, firstRow);
    for (let start = firstKey - (firstKey % STEP_KEYS); start < endKey; start += STEP_KEYS) {
      const groups = this.#groupsOf(units[0]!, start, firstPosition);
      if (source === 'pages') this.#meetInPages(units, start, groups);
      else for (const [i, unit] of units.entries()) this.#meetInScratch(unit, i * numQueries, start, groups);
      const next = start + STEP_KEYS;
      if (isJoined && (next % SECTION_KEYS === 0 || next >= endKey)) this.#states.endSection(units);
    }
    if (firstState === -1) this.#states.finish(units, firstRow, isJoined ? 'totals' : 'section');
  }

  /** Queries that see the same of the step that begins at `start`, as many at a time as kernels take. The same for each unit. */
  #groupsOf({ firstQuery, numQueries }: AttentionUnit, start: number, firstPosition: number): Group[] {
    const maxGroup = numQueries <= FEW_QUERIES ? SMALL_GROUP : this.#maxGroup;
    const numSharing = this.#numSharing;
    const groups: Group[] = [];
    // From the first row whose own position is the step's last or later, to the last whose window reaches its first.
    const firstFull = (start + STEP_KEYS - 1 - firstPosition) * numSharing - firstQuery;
    const endFull = Math.min(numQueries, (start + this.#window - firstPosition) * numSharing - firstQuery);
    for (let i = 0; i < numQueries; ) {
      const isFull = i >= firstFull && i < endFull;
      const row = Math.floor((firstQuery + i) / numSharing);
      const limit = isFull ? endFull : Math.min(numQueries, (row + 1) * numSharing - firstQuery);
      const count = Math.min(maxGroup, limit - i);
      const position = firstPosition + row;
      const from = isFull ? 0 : Math.max(0, position - this.#window + 1 - start);
      const to = isFull ? STEP_KEYS : Math.min(STEP_KEYS, position + 1 - start);
      if (from < to) groups.push({ first: i, count, from, to });
      i += count;
    }
    return groups;
  }

  /** Every query of the units meets what it sees of the step. */
  #meetInPages(units: readonly AttentionUnit[], start: number, groups: readonly Group[]): void {
    const { firstKey, endKey, numQueries } = units[0]!;
    const heads: Heads = { base: 0, numHeads: units.length, headQueries: numQueries, source: 'pages' };
    this.#strips.point(units[0]!, start, Math.max(firstKey, start), Math.min(endKey, start + STEP_KEYS));
    for (const group of groups) this.#scoreGroup(heads, group);
    for (const group of groups) this.#softmaxGroup(heads, group);
    for (const group of groups) this.#addGroup(heads, group);
  }

  #meetInScratch(unit: AttentionUnit, base: number, start: number, groups: readonly Group[]): void {
    const { firstKey, endKey, numQueries } = unit;
    const heads: Heads = { base, numHeads: 1, headQueries: numQueries, source: 'scratch' };
    const [from, to] = [Math.max(firstKey, start), Math.min(endKey, start + STEP_KEYS)];
    this.#strips.widenKeys(unit, start, from, to);
    for (const group of groups) this.#scoreGroup(heads, group);
    for (const group of groups) this.#softmaxGroup(heads, group);
    this.#strips.widenValues(unit, start, from, to);
    for (const group of groups) this.#addGroup(heads, group);
  }

  #scoreGroup({ base, numHeads, headQueries, source }: Heads, { first, count, from, to }: Group): void {
    const { strips } = this.#scratch;
    const { records, scores } = this.#placeOf(base + first);
    const headBytes = source === 'pages' ? this.#strips.pages.headBytes : 0;
    const kernel = this.#products[source].score[count]!;
    kernel(records, strips, scores, this.#headDim, from, to, numHeads, headQueries, headBytes, this.#scale);
  }

  #softmaxGroup({ base, numHeads, headQueries }: Heads, { first, count, from, to }: Group): void {
    const { records, scores } = this.#placeOf(base + first);
    const isCapped = this.#softCap === undefined ? 0 : 1;
    const kernel = this.#softmax[count]!;
    kernel(records, scores, this.#headDim, from, to, numHeads, headQueries, 0, isCapped, this.#softCap ?? 0);
  }

  #addGroup({ base, numHeads, headQueries, source }: Heads, { first, count, from, to }: Group): void {
    const { strips } = this.#scratch;
    const { records, scores } = this.#placeOf(base + first);
    const headBytes = source === 'pages' ? this.#strips.pages.headBytes : 0;
    const kernel = this.#products[source].addValues[count]!;
    kernel(records, strips, scores, this.#headDim, from, to, numHeads, headQueries, headBytes);
  }

  #placeOf(query: number): { readonly records: number; readonly scores: number } {
    const { queries, scores } = this.#scratch;
    return { records: queries + query * RECORD_BYTES, scores: scores + query * SCORE_ROW_BYTES };
  }
}
