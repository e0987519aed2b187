/** Queries of one row meet a section, read from its pages as they are: all of them see the same keys, so a single kernel walks
 * the section (generators/attention-section.ts). A call from JavaScript costs as much as a few keys. */
import type { PagedAttentionArgs } from '../../ops.ts';
import type { AttentionScratch } from '../generators/attention-scratch.ts';
import type { Kernel } from '../kernel-module.ts';
import type { Machine } from '../machine.ts';
import type { AttentionRun } from './attention-queries.ts';
import { type Scoring, scoringOf } from './attention-scoring.ts';
import type { SectionStrips } from './section-strips.ts';

export class OneRow {
  readonly #scratch: AttentionScratch;
  readonly #strips: SectionStrips;
  readonly #section: Kernel;
  readonly #scoring: Scoring;

  constructor({ kernels }: Machine, args: PagedAttentionArgs, scratch: AttentionScratch, strips: SectionStrips) {
    this.#scratch = scratch;
    this.#strips = strips;
    this.#section = kernels[`attention_section_${strips.pages.dtype}`]!;
    this.#scoring = scoringOf(args);
  }

  /** Keys `firstKey` to `endKey` - 1, of one section.
   * @param records  of the run's queries */
  meet(run: AttentionRun, records: number, firstKey: number, endKey: number): void {
    const { sequence, firstKvHead, numHeads, headQueries } = run;
    const { strips, scores } = this.#scratch;
    const { headDim, headBytes, blockSize, blockBytes, stripBytes } = this.#strips.pages;
    const { keys, values, table } = this.#strips.placesOf({ sequence, kvHead: firstKvHead });
    const { isCapped, scale, softCap, weightScale } = this.#scoring;
    // biome-ignore format: as the kernel's generator lists them
    this.#section(
      records, strips, scores, headDim, firstKey, endKey, numHeads, headQueries, headBytes,
      keys, values, table, blockSize, blockBytes, stripBytes,
      isCapped, scale, softCap, weightScale,
    );
  }
}
