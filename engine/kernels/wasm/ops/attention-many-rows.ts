/** Queries meet a section of which rows do not see the same keys, or whose pages kernels do not read as they are.
 *
 *   for 64 keys at a time (a step): find them, or bring them to where they can be read; scores
 *   softmax of all scores
 *   for 64 keys at a time: weighted sums of values
 *
 * A kernel takes up to 6 queries that see the same keys (attention-groups.ts). Where kernels read pages as they are, a call
 * takes the same queries of all heads: the parts of neighbouring heads in a page lie side by side, and memory is read in long
 * runs, page by page. */
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
import { type Group, groupsOf } from './attention-groups.ts';
import type { AttentionRun, KeyRange } from './attention-queries.ts';
import { type Scoring, scoringOf } from './attention-scoring.ts';
import type { SectionStrips } from './section-strips.ts';

/** By number of queries. */
interface ProductKernels {
  readonly score: readonly Kernel[];
  readonly addValues: readonly Kernel[];
}

/** Where kernels find what belongs to a run's first query, and its keys and values. */
interface Place {
  readonly records: number;
  readonly scores: number;
  readonly source: 'pages' | 'scratch';
}

export class ManyRows {
  readonly #scratch: AttentionScratch;
  readonly #strips: SectionStrips;
  readonly #products: Readonly<Record<'pages' | 'scratch', ProductKernels>>;
  readonly #softmax: readonly Kernel[];
  readonly #scoring: Scoring;
  readonly #numSharing: number;
  readonly #window: number;
  /** Most queries that a call takes of heads with many. */
  readonly #maxGroup: number;

  constructor(machine: Machine, args: PagedAttentionArgs, scratch: AttentionScratch, strips: SectionStrips) {
    const byCount = (name: string) =>
      Array.from({ length: MAX_GROUP + 1 }, (_, n) => machine.kernels[`attention_${name}_${n}`]!);
    const products = (dtype: string): ProductKernels => ({
      score: byCount(`scores_${dtype}`),
      addValues: byCount(`values_${dtype}`),
    });
    this.#scratch = scratch;
    this.#strips = strips;
    this.#products = { pages: products(strips.pages.dtype), scratch: products(strips.scratchDType) };
    this.#softmax = byCount('softmax');
    this.#scoring = scoringOf(args);
    this.#numSharing = args.q.shape[1]! / args.keyCache.shape[1]!;
    this.#window = args.slidingWindow ?? Number.POSITIVE_INFINITY;
    // More sums than registers hold cost more than they save.
    this.#maxGroup = machine.tileGroups === 2 ? MAX_GROUP : SMALL_GROUP;
  }

  /** @param run  with keys of one section
   * @param records  of its queries */
  meet(run: AttentionRun, records: number, source: 'pages' | 'scratch'): void {
    const { sequence, firstKvHead, numHeads, headQueries, firstKey, endKey } = run;
    const { scores } = this.#scratch;
    if (source === 'pages') {
      this.#strips.point({ sequence, kvHead: firstKvHead }, firstKey, endKey);
      this.#meetHeads(run, { records, scores, source });
      return;
    }
    for (let head = 0; head < numHeads; head++) {
      const first = head * headQueries;
      const place = { records: records + first * RECORD_BYTES, scores: scores + first * SCORE_ROW_BYTES, source };
      this.#meetHeads({ ...run, firstKvHead: firstKvHead + head, numHeads: 1 }, place);
    }
  }

  #meetHeads(run: AttentionRun, place: Place): void {
    const head = { sequence: run.sequence, kvHead: run.firstKvHead };
    const inScratch = place.source === 'scratch';
    const section = run.firstKey - (run.firstKey % SECTION_KEYS);
    eachStep(run, (from, to) => {
      if (inScratch) this.#strips.bringKeys(head, from, to);
      for (const group of this.#groups(run, stepOf(from), STEP_KEYS)) this.#score(run, place, group);
    });
    for (const group of this.#groups(run, section, SECTION_KEYS)) this.#weigh(run, place, group);
    eachStep(run, (from, to) => {
      if (inScratch) this.#strips.bringValues(head, from, to);
      for (const group of this.#groups(run, stepOf(from), STEP_KEYS)) this.#addValues(run, place, group);
    });
  }

  #groups(run: AttentionRun, start: number, size: number): Group[] {
    const maxGroup = run.headQueries <= FEW_QUERIES ? SMALL_GROUP : this.#maxGroup;
    return groupsOf(run, start, size, { numSharing: this.#numSharing, window: this.#window, maxGroup });
  }

  #score({ numHeads, headQueries }: AttentionRun, { records, scores, source }: Place, group: Group): void {
    const { first, count, from, to } = group;
    const { headDim, headBytes } = this.#strips.pages;
    // biome-ignore format: as the kernel's generator lists them
    this.#products[source].score[count]!(
      records + first * RECORD_BYTES, this.#scratch.strips, scores + first * SCORE_ROW_BYTES,
      headDim, from, to, numHeads, headQueries, headBytes, this.#scoring.scale,
    );
  }

  #weigh({ numHeads, headQueries }: AttentionRun, { records, scores }: Place, group: Group): void {
    const { first, count, from, to } = group;
    const { isCapped, softCap, weightScale } = this.#scoring;
    // biome-ignore format: as the kernel's generator lists them
    this.#softmax[count]!(
      records + first * RECORD_BYTES, scores + first * SCORE_ROW_BYTES,
      from, to, numHeads, headQueries, 0, isCapped, softCap, weightScale,
    );
  }

  #addValues({ numHeads, headQueries }: AttentionRun, { records, scores, source }: Place, group: Group): void {
    const { first, count, from, to } = group;
    const { headDim, headBytes } = this.#strips.pages;
    // biome-ignore format: as the kernel's generator lists them
    this.#products[source].addValues[count]!(
      records + first * RECORD_BYTES, this.#scratch.strips, scores + first * SCORE_ROW_BYTES,
      headDim, from, to, numHeads, headQueries, headBytes,
    );
  }
}

/** The first of the 64 keys that hold this one. */
const stepOf = (key: number): number => key - (key % STEP_KEYS);

/** Calls `visit` for each step: keys `from` to `to` - 1. */
function eachStep({ firstKey, endKey }: KeyRange, visit: (from: number, to: number) => void): void {
  for (let from = firstKey; from < endKey; from = stepOf(from) + STEP_KEYS) {
    visit(from, Math.min(stepOf(from) + STEP_KEYS, endKey));
  }
}
