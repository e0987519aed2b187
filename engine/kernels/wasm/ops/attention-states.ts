/** What queries have met so far: their largest score, sum of weights and weighted values (generators/attention-scratch.ts).
 *
 *   of the section that is being met     this thread's scratch memory     \  joined in the order of positions
 *   of the sections before               this thread's scratch memory     /
 *
 * Where threads divide sections, states of all sections lie in an area that all threads see, and when all have been met,
 * each thread joins those of some queries. */
import type { PagedAttentionArgs } from '../../ops.ts';
import { type Part, partEnd, partStart } from '../../part.ts';
import { Q8_STRIP, QUERY_BLOCK, SCALING, type StripDType } from '../generators/attention-rows.ts';
import {
  type AttentionScratch,
  LOWEST,
  RECORD_ACCUMULATOR,
  RECORD_BYTES,
  RECORD_MAX,
  RECORD_SUM,
} from '../generators/attention-scratch.ts';
import type { Kernel, Kernels } from '../kernel-module.ts';
import { type LinearMemory, STATE_AREA_BYTES, STATE_AREA_START } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf } from '../wasm-buffer.ts';
import type { AttentionUnit, DividedSequence } from './attention-units.ts';

/** How many states the area has room for. */
export function maxStates({ rowBytes }: AttentionScratch): number {
  return Math.floor(STATE_AREA_BYTES / (RECORD_BYTES + rowBytes));
}

/** Records one after another, and accumulators one after another. */
export interface States {
  readonly records: number;
  readonly accumulators: number;
}

export class AttentionStates {
  readonly #memory: LinearMemory;
  readonly #section: States;
  readonly #totals: States;
  readonly #area: States;
  readonly #maxQueries: number;
  readonly #rowBytes: number;
  readonly #merge: Kernel;
  readonly #finish: Kernel;
  readonly #copyQuery: (from: number, to: number) => void;
  readonly #q: number;
  /** Of the queries that are being met, one after another. */
  readonly #copies: number;
  /** Whose queries the copies are. */
  #copied = '';
  readonly #out: number;
  readonly #numHeads: number;
  readonly #headDim: number;
  readonly #numSharing: number;

  constructor({ memory, kernels }: Machine, args: PagedAttentionArgs, scratch: AttentionScratch) {
    this.#memory = memory;
    this.#section = { records: scratch.queries, accumulators: scratch.accumulators };
    this.#totals = { records: scratch.totals, accumulators: scratch.totalAccumulators };
    const accumulators = STATE_AREA_START + maxStates(scratch) * RECORD_BYTES;
    this.#area = { records: STATE_AREA_START, accumulators };
    this.#maxQueries = scratch.numQueries;
    this.#rowBytes = scratch.rowBytes;
    [this.#merge, this.#finish] = [kernels.attention_merge!, kernels.attention_finish!];
    this.#copyQuery = queryCopier(kernels, args);
    this.#copies = scratch.copies;
    [this.#q, this.#out] = [addressOf(args.q), addressOf(args.out)];
    [, this.#numHeads, this.#headDim] = args.q.shape as [number, number, number];
    this.#numSharing = this.#numHeads / args.keyCache.shape[1]!;
  }

  /** Before an op: what lies in q is another thing than before. */
  forgetQueries(): void {
    this.#copied = '';
  }

  /** Nothing met yet, for the queries of some units.
   * @param firstRow  the sequence's first row in q
   * @returns where they keep what they meet of a section */
  begin(units: readonly AttentionUnit[], firstRow: number): States {
    const { numQueries, firstState } = units[0]!;
    const count = units.length * numQueries;
    this.#copyQueries(units, firstRow);
    const states = firstState === -1 ? this.#section : this.#from(this.#area, firstState);
    this.#clear(states, 0, count);
    const { records, accumulators } = states;
    const { floats, ints } = this.#memory;
    floats.fill(0, accumulators / 4, (accumulators + count * this.#rowBytes) / 4);
    for (let i = 0; i < count; i++) ints[(records + i * RECORD_BYTES) / 4] = this.#copies + i * this.#rowBytes;
    if (firstState === -1) this.#clear(this.#totals, 0, count);
    return states;
  }

  /** Once for all sections of them that follow one another. */
  #copyQueries(units: readonly AttentionUnit[], firstRow: number): void {
    const { kvHead, firstQuery, numQueries } = units[0]!;
    const queries = `${firstRow} ${kvHead} ${firstQuery} ${numQueries} ${units.length}`;
    if (queries === this.#copied) return;
    this.#copied = queries;
    for (let i = 0; i < units.length * numQueries; i++) {
      const offset = this.#offsetOf(firstRow, kvHead + Math.floor(i / numQueries), firstQuery + (i % numQueries));
      this.#copyQuery(this.#q + offset, this.#copies + i * this.#rowBytes);
    }
  }

  /** Joins what the units' queries have met of a section to what they had met before. Where threads divide sections, that
   * waits until all have been met. */
  endSection(units: readonly AttentionUnit[]): void {
    const { numQueries, firstState } = units[0]!;
    if (firstState !== -1) return;
    this.#merge(this.#section.records, this.#totals.records, this.#headDim, units.length * numQueries);
  }

  #from({ records, accumulators }: States, first: number): States {
    return { records: records + first * RECORD_BYTES, accumulators: accumulators + first * this.#rowBytes };
  }

  /** Results of the units' queries, from all sections or from the only one. */
  finish(units: readonly AttentionUnit[], firstRow: number, from: 'totals' | 'section'): void {
    const { kvHead, firstQuery, numQueries } = units[0]!;
    const { records } = from === 'totals' ? this.#totals : this.#section;
    for (let i = 0; i < units.length; i++) {
      const place = { kvHead: kvHead + i, firstQuery, firstRow };
      this.#finishHead(records + i * numQueries * RECORD_BYTES, place, numQueries);
    }
  }

  /** Joins the sections of the part's share of queries, after all threads have met all sections. */
  finishDivided(divided: readonly DividedSequence[], queryStartLoc: Int32Array, part: Part): void {
    const total = divided.reduce((sum, { numQueries }) => sum + numQueries, 0);
    const [start, end] = [partStart(total, part), partEnd(total, part)];
    let before = 0;
    for (const entry of divided) {
      const [from, to] = [Math.max(0, start - before), Math.min(entry.numQueries, end - before)];
      for (let first = from; first < to; first += this.#maxQueries) {
        const count = Math.min(this.#maxQueries, to - first);
        this.#joinSections(entry, first, count);
        this.#finishRange(entry, first, count, queryStartLoc[entry.sequence]!);
      }
      before += entry.numQueries;
    }
  }

  /** To the totals, of queries `first` to `first + count` - 1 of all heads'. */
  #joinSections({ firstState, numSections, numQueries }: DividedSequence, first: number, count: number): void {
    this.#clear(this.#totals, 0, count);
    for (let section = 0; section < numSections; section++) {
      const state = firstState + section * numQueries + first;
      this.#merge(this.#area.records + state * RECORD_BYTES, this.#totals.records, this.#headDim, count);
    }
  }

  #finishRange({ queriesPerHead }: DividedSequence, first: number, count: number, firstRow: number): void {
    for (let i = 0; i < count; ) {
      const [kvHead, firstQuery] = [Math.floor((first + i) / queriesPerHead), (first + i) % queriesPerHead];
      const ofHead = Math.min(count - i, queriesPerHead - firstQuery);
      this.#finishHead(this.#totals.records + i * RECORD_BYTES, { kvHead, firstQuery, firstRow }, ofHead);
      i += ofHead;
    }
  }

  /** `count` queries of a KV head. Those of a row lie side by side in `out`. */
  #finishHead(
    records: number,
    {
      kvHead,
      firstQuery,
      firstRow,
    }: { readonly kvHead: number; readonly firstQuery: number; readonly firstRow: number },
    count: number,
  ): void {
    for (let i = 0; i < count; ) {
      const query = firstQuery + i;
      const ofRow = Math.min(count - i, this.#numSharing - (query % this.#numSharing));
      const out = this.#out + this.#offsetOf(firstRow, kvHead, query);
      this.#finish(records + i * RECORD_BYTES, out, this.#headDim, ofRow);
      i += ofRow;
    }
  }

  /** Records that have met nothing; their accumulators are as they were. */
  #clear({ records, accumulators }: States, first: number, count: number): void {
    const { ints, floats } = this.#memory;
    for (let i = first; i < first + count; i++) {
      const record = (records + i * RECORD_BYTES) / 4;
      ints[record + RECORD_ACCUMULATOR / 4] = accumulators + i * this.#rowBytes;
      floats[record + RECORD_MAX / 4] = LOWEST;
      floats[record + RECORD_SUM / 4] = 0;
    }
  }

  /** Bytes from the start of q, or of out, to a query's. */
  #offsetOf(firstRow: number, kvHead: number, query: number): number {
    const row = firstRow + Math.floor(query / this.#numSharing);
    const head = kvHead * this.#numSharing + (query % this.#numSharing);
    return (row * this.#numHeads + head) * this.#headDim * 4;
  }
}

/** As pages of the cache's dtype ask for: times what SCALING says, or rounded to blocks of 16-bit levels. */
function queryCopier(kernels: Kernels, { q, keyCache }: PagedAttentionArgs): (from: number, to: number) => void {
  const dtype = keyCache.dtype as StripDType;
  const headDim = q.shape[2]!;
  if (dtype === 'q8_0') {
    const { scaleOffset, bytes } = QUERY_BLOCK;
    const [quantize, numBlocks] = [kernels.quantize_i16!, headDim / Q8_STRIP.features];
    return (from, to) => quantize(from, to, to + scaleOffset, bytes, numBlocks);
  }
  const [scaleFloats, factor] = [kernels.scale_floats!, SCALING[dtype].query];
  return (from, to) => scaleFloats(from, to, headDim, factor);
}
