/** What queries have met so far: their largest score, sum of weights and weighted values (generators/attention-scratch.ts).
 *
 *   of the section that is being met     this thread's scratch memory     \  joined in the order of positions
 *   of the sections before               this thread's scratch memory     /
 *
 * Where threads divide sections, states of all sections lie in an area that all threads see, and when all have been met,
 * each thread joins those of some queries. */
import type { PagedAttentionArgs } from '../../ops.ts';
import { type AttentionScratch, RECORD_BYTES } from '../generators/attention-scratch.ts';
import type { Kernel } from '../kernel-module.ts';
import { STATE_AREA_BYTES, STATE_AREA_START } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf } from '../wasm-buffer.ts';
import type { AttentionRun, Span } from './attention-queries.ts';
import type { Join } from './attention-sections.ts';

/** How many states the area has room for. */
export function maxStates({ rowBytes }: AttentionScratch): number {
  return Math.floor(STATE_AREA_BYTES / (RECORD_BYTES + rowBytes));
}

/** Records one after another, and accumulators one after another. */
interface States {
  readonly records: number;
  readonly accumulators: number;
}

export class AttentionStates {
  readonly #section: States;
  readonly #totals: States;
  readonly #area: States;
  readonly #rowBytes: number;
  readonly #clearStates: Kernel;
  readonly #copy: Kernel;
  readonly #merge: Kernel;
  readonly #finish: Kernel;
  readonly #q: number;
  /** Of the queries that are being met, one after another. */
  readonly #copies: number;
  /** Whose queries the copies are. */
  #copied: readonly Span[] = [];
  readonly #out: number;
  readonly #headDim: number;

  constructor({ kernels }: Machine, args: PagedAttentionArgs, scratch: AttentionScratch) {
    this.#section = { records: scratch.queries, accumulators: scratch.accumulators };
    this.#totals = { records: scratch.totals, accumulators: scratch.totalAccumulators };
    const accumulators = STATE_AREA_START + maxStates(scratch) * RECORD_BYTES;
    this.#area = { records: STATE_AREA_START, accumulators };
    this.#rowBytes = scratch.rowBytes;
    [this.#clearStates, this.#copy] = [kernels.attention_clear!, kernels[`attention_queries_${args.keyCache.dtype}`]!];
    [this.#merge, this.#finish] = [kernels.attention_merge!, kernels.attention_finish!];
    this.#copies = scratch.copies;
    [this.#q, this.#out] = [addressOf(args.q), addressOf(args.out)];
    this.#headDim = args.q.shape[2]!;
  }

  /** Before an op: what lies in q is another thing than before. */
  forgetQueries(): void {
    this.#copied = [];
  }

  /** Nothing met yet, for the queries of a run.
   * @returns the records of what they meet of a section */
  begin({ spans, numHeads, headQueries, firstState }: AttentionRun): number {
    const states = firstState === -1 ? this.#section : this.#from(this.#area, firstState);
    const count = numHeads * headQueries;
    this.#copyQueries(spans);
    this.#clear(states, count);
    if (firstState === -1) this.#clear(this.#totals, count);
    return states.records;
  }

  /** Once for all sections of them that follow one another. */
  #copyQueries(spans: readonly Span[]): void {
    if (spans === this.#copied) return;
    this.#copied = spans;
    for (const { first, count, place } of spans) {
      const copies = this.#copies + first * this.#rowBytes;
      this.#copy(this.#q + place * 4 * this.#headDim, copies, this.#headDim, this.#rowBytes, count);
    }
  }

  /** Joins what a run's queries have met of a section to what they had met before: of the next they have met nothing. */
  endSection({ numHeads, headQueries }: AttentionRun): void {
    const count = numHeads * headQueries;
    this.#merge(this.#section.records, this.#totals.records, this.#headDim, count, 1, 0);
    this.#clear(this.#section, count);
  }

  /** Results of queries, from all sections or from the only one. */
  finish(spans: readonly Span[], from: 'totals' | 'section'): void {
    const { records } = from === 'totals' ? this.#totals : this.#section;
    for (const { first, count, place } of spans) {
      this.#finish(records + first * RECORD_BYTES, this.#out + place * 4 * this.#headDim, this.#headDim, count);
    }
  }

  /** Results of queries whose sections threads have divided, when all have been met. */
  join({ count, spans, firstState, sectionStates, numSections }: Join): void {
    const { records } = this.#from(this.#area, firstState);
    this.#clear(this.#totals, count);
    this.#merge(records, this.#totals.records, this.#headDim, count, numSections, sectionStates * RECORD_BYTES);
    this.finish(spans, 'totals');
  }

  #from({ records, accumulators }: States, first: number): States {
    return { records: records + first * RECORD_BYTES, accumulators: accumulators + first * this.#rowBytes };
  }

  #clear({ records, accumulators }: States, count: number): void {
    this.#clearStates(records, accumulators, this.#copies, this.#rowBytes, count);
  }
}
