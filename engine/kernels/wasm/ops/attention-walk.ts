/** The walk of some units' queries over the keys they see. Kernels do the work (generators/attention-*.ts).
 *
 *   for each section of 512 keys, from the first that any of the queries sees to the last:
 *     for 64 keys at a time (a step): find them, or bring them to where they can be read; scores
 *     softmax of all scores
 *     for 64 keys at a time: weighted sums of values
 *     join what was met of the section to what was met before          attention-states.ts
 *   for each query: divide by the sum of weights
 *
 * A kernel takes up to 6 queries that see the same keys. Those of rows that see all of a step go together; of other rows (at
 * the diagonal of a prompt, at the edge of a window) only heads of one row see the same.
 *
 * Where all queries are of one row, a single kernel walks the section (generators/attention-section.ts): a call from
 * JavaScript costs as much as a few keys.
 *
 * Where kernels read pages as they are, a call takes the same queries of all units: the parts of neighbouring heads in a
 * page lie side by side, and memory is read in long runs, page by page. */
import type { PagedAttentionArgs } from '../../ops.ts';
import { SCALING } from '../generators/attention-rows.ts';
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
import type { AttentionStates, States } from './attention-states.ts';
import type { AttentionUnit } from './attention-units.ts';
import { SectionStrips } from './section-strips.ts';

/** Queries `first` to `first + count` - 1 of a unit see keys `from` to `to` - 1 of a section. */
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
  /** From one unit's part of a page to the next's. */
  readonly headBytes: number;
}

/** Keys `firstKey` to `endKey` - 1 of a section; the sequence's first row has position `firstPosition`. */
interface KeyRange {
  readonly firstKey: number;
  readonly endKey: number;
  readonly firstPosition: number;
}

/** By number of queries. */
interface ProductKernels {
  readonly score: readonly Kernel[];
  readonly addValues: readonly Kernel[];
}

/** Where the section ends that holds a key. */
const sectionEnd = (key: number): number => key - (key % SECTION_KEYS) + SECTION_KEYS;

export class AttentionWalk {
  readonly #scratch: AttentionScratch;
  readonly #states: AttentionStates;
  readonly #strips: SectionStrips;
  readonly #products: Readonly<Record<'pages' | 'scratch', ProductKernels>>;
  readonly #softmax: readonly Kernel[];
  readonly #section: Kernel;
  /** Most queries that a call takes of units with many. */
  readonly #maxGroup: number;
  readonly #headDim: number;
  readonly #numSharing: number;
  readonly #window: number;
  /** Of finished scores, and what weights carry (SCALING). */
  readonly #scale: number;
  readonly #weightScale: number;
  readonly #isCapped: 0 | 1;
  readonly #softCap: number;
  /** Of the queries that are on their way. */
  #current: States = { records: 0, accumulators: 0 };

  constructor(machine: Machine, args: PagedAttentionArgs, scratch: AttentionScratch, states: AttentionStates) {
    const { kernels } = machine;
    this.#scratch = scratch;
    this.#states = states;
    this.#strips = new SectionStrips(machine, args, scratch);
    const byCount = (name: string) =>
      Array.from({ length: MAX_GROUP + 1 }, (_, n) => kernels[`attention_${name}_${n}`]!);
    const products = (dtype: string): ProductKernels => ({
      score: byCount(`scores_${dtype}`),
      addValues: byCount(`values_${dtype}`),
    });
    this.#products = { pages: products(this.#strips.pages.dtype), scratch: products(this.#strips.scratchDType) };
    this.#softmax = byCount('softmax');
    this.#section = kernels[`attention_section_${this.#strips.pages.dtype}`]!;
    // More sums than registers hold cost more than they save.
    this.#maxGroup = machine.tileGroups === 2 ? MAX_GROUP : SMALL_GROUP;
    const [, numHeads, headDim] = args.q.shape as [number, number, number];
    this.#headDim = headDim;
    this.#numSharing = numHeads / args.keyCache.shape[1]!;
    this.#window = args.slidingWindow ?? Number.POSITIVE_INFINITY;
    const scaling = SCALING[this.#strips.pages.dtype];
    this.#scale = args.scale * scaling.score;
    this.#weightScale = scaling.weight;
    this.#isCapped = args.softCap === undefined ? 0 : 1;
    this.#softCap = args.softCap ?? 0;
  }

  /** @param units  of one sequence and the same rows: they see the same keys
   * @param firstRow  the sequence's first row in q
   * @param firstPosition  its position */
  attend(units: readonly AttentionUnit[], firstRow: number, firstPosition: number): void {
    const { firstKey, endKey, firstState } = units[0]!;
    const isJoined = firstState !== -1 || endKey > sectionEnd(firstKey);
    this.#current = this.#states.begin(units, firstRow);
    const source = this.#strips.sourceOf(units[0]!.numQueries);
    const isOneCall = source === 'pages' && this.#isOneRow(units[0]!);
    for (let start = firstKey; start < endKey; start = sectionEnd(start)) {
      const end = Math.min(sectionEnd(start), endKey);
      if (isOneCall) this.#meetRow(units, start, end);
      else this.#meetRows(units, source, { firstKey: start, endKey: end, firstPosition });
      if (isJoined) this.#states.endSection(units);
    }
    if (firstState === -1) this.#states.finish(units, firstRow, isJoined ? 'totals' : 'section');
  }

  /** Whether all queries see all keys of the unit. */
  #isOneRow({ firstQuery, numQueries }: AttentionUnit): boolean {
    const rowOf = (query: number) => Math.floor(query / this.#numSharing);
    return rowOf(firstQuery) === rowOf(firstQuery + numQueries - 1);
  }

  /** Keys `firstKey` to `endKey` - 1, of one section, in one call. */
  #meetRow(units: readonly AttentionUnit[], firstKey: number, endKey: number): void {
    const { strips, copies, rowBytes } = this.#scratch;
    const { numQueries } = units[0]!;
    const { records, scores } = this.#placeOf(0);
    const { headBytes, blockSize, blockBytes, stripBytes } = this.#strips.pages;
    const { keys, values, table } = this.#strips.placesOf(units[0]!);
    const hotBytes = units.length > 1 ? units.length * numQueries * rowBytes : 0;
    this.#section(
      ...[records, strips, scores, this.#headDim, firstKey, endKey, units.length, numQueries, headBytes],
      ...[copies, this.#current.accumulators, hotBytes, keys, values, table, blockSize, blockBytes, stripBytes],
      ...[this.#isCapped, this.#scale, this.#softCap, this.#weightScale],
    );
  }

  /** Keys of one section, of which rows do not see the same. */
  #meetRows(units: readonly AttentionUnit[], source: Heads['source'], range: KeyRange): void {
    const headQueries = units[0]!.numQueries;
    if (source === 'pages') {
      const { headBytes } = this.#strips.pages;
      this.#strips.point(units[0]!, range.firstKey, range.endKey);
      this.#meetSection(units[0]!, { base: 0, numHeads: units.length, headQueries, source, headBytes }, range);
      return;
    }
    for (const [i, unit] of units.entries()) {
      this.#meetSection(unit, { base: i * headQueries, numHeads: 1, headQueries, source, headBytes: 0 }, range);
    }
  }

  #meetSection(unit: AttentionUnit, heads: Heads, range: KeyRange): void {
    const inScratch = heads.source === 'scratch';
    this.#eachStep(unit, range, (from, to, groups) => {
      if (inScratch) this.#strips.bringKeys(unit, from, to);
      for (const group of groups) this.#scoreGroup(heads, group);
    });
    const start = range.firstKey - (range.firstKey % SECTION_KEYS);
    for (const group of this.#groupsOf(unit, start, SECTION_KEYS, range.firstPosition))
      this.#softmaxGroup(heads, group);
    this.#eachStep(unit, range, (from, to, groups) => {
      if (inScratch) this.#strips.bringValues(unit, from, to);
      for (const group of groups) this.#addGroup(heads, group);
    });
  }

  /** Calls `visit` for each step of a section: its keys `from` to `to` - 1, and who sees which of them. */
  #eachStep(
    unit: AttentionUnit,
    { firstKey, endKey, firstPosition }: KeyRange,
    visit: (from: number, to: number, groups: readonly Group[]) => void,
  ): void {
    for (let from = firstKey; from < endKey; ) {
      const start = from - (from % STEP_KEYS);
      const to = Math.min(start + STEP_KEYS, endKey);
      visit(from, to, this.#groupsOf(unit, start, STEP_KEYS, firstPosition));
      from = to;
    }
  }

  /** Queries that see the same of the `size` keys from `start` on, as many at a time as kernels take. The same for each
   * unit. */
  #groupsOf({ firstQuery, numQueries }: AttentionUnit, start: number, size: number, firstPosition: number): Group[] {
    const maxGroup = numQueries <= FEW_QUERIES ? SMALL_GROUP : this.#maxGroup;
    const numSharing = this.#numSharing;
    const offset = start % SECTION_KEYS;
    const groups: Group[] = [];
    // From the first row whose own position is the last key or later, to the last whose window reaches the first.
    const firstFull = (start + size - 1 - firstPosition) * numSharing - firstQuery;
    const endFull = Math.min(numQueries, (start + this.#window - firstPosition) * numSharing - firstQuery);
    for (let i = 0; i < numQueries; ) {
      const isFull = i >= firstFull && i < endFull;
      const row = Math.floor((firstQuery + i) / numSharing);
      const limit = isFull ? endFull : Math.min(numQueries, (row + 1) * numSharing - firstQuery);
      const count = Math.min(maxGroup, limit - i);
      const position = firstPosition + row;
      const from = isFull ? 0 : Math.max(0, position - this.#window + 1 - start);
      const to = isFull ? size : Math.min(size, position + 1 - start);
      if (from < to) groups.push({ first: i, count, from: offset + from, to: offset + to });
      i += count;
    }
    return groups;
  }

  #scoreGroup({ base, numHeads, headQueries, source, headBytes }: Heads, { first, count, from, to }: Group): void {
    const { strips } = this.#scratch;
    const { records, scores } = this.#placeOf(base + first);
    const kernel = this.#products[source].score[count]!;
    kernel(records, strips, scores, this.#headDim, from, to, numHeads, headQueries, headBytes, 0, 0, this.#scale);
  }

  #softmaxGroup({ base, numHeads, headQueries }: Heads, { first, count, from, to }: Group): void {
    const { records, scores } = this.#placeOf(base + first);
    const kernel = this.#softmax[count]!;
    kernel(records, scores, from, to, numHeads, headQueries, 0, this.#isCapped, this.#softCap, this.#weightScale);
  }

  #addGroup({ base, numHeads, headQueries, source, headBytes }: Heads, { first, count, from, to }: Group): void {
    const { strips } = this.#scratch;
    const { records, scores } = this.#placeOf(base + first);
    const kernel = this.#products[source].addValues[count]!;
    kernel(records, strips, scores, this.#headDim, from, to, numHeads, headQueries, headBytes, 0, 0);
  }

  #placeOf(query: number): { readonly records: number; readonly scores: number } {
    const records = this.#current.records + query * RECORD_BYTES;
    return { records, scores: this.#scratch.scores + query * SCORE_ROW_BYTES };
  }
}
