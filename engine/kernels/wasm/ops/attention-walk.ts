/** The walk of a run's queries over the keys they see. Kernels do the work (generators/attention-*.ts).
 *
 *   for each section of 512 keys, from the first that any of the queries sees to the last:
 *     scores, softmax, weighted sums of values      attention-one-row.ts or attention-many-rows.ts
 *     join what was met of the section to what was met before          attention-states.ts
 *   for each query: divide by the sum of weights */
import type { PagedAttentionArgs } from '../../ops.ts';
import { type AttentionScratch, SECTION_KEYS } from '../generators/attention-scratch.ts';
import type { Machine } from '../machine.ts';
import { ManyRows } from './attention-many-rows.ts';
import { OneRow } from './attention-one-row.ts';
import type { AttentionRun } from './attention-queries.ts';
import type { AttentionStates } from './attention-states.ts';
import { SectionStrips } from './section-strips.ts';

export class AttentionWalk {
  readonly #states: AttentionStates;
  readonly #strips: SectionStrips;
  readonly #oneRow: OneRow;
  readonly #manyRows: ManyRows;
  readonly #numSharing: number;

  constructor(machine: Machine, args: PagedAttentionArgs, scratch: AttentionScratch, states: AttentionStates) {
    this.#states = states;
    this.#strips = new SectionStrips(machine, args, scratch);
    this.#oneRow = new OneRow(machine, args, scratch, this.#strips);
    this.#manyRows = new ManyRows(machine, args, scratch, this.#strips);
    this.#numSharing = args.q.shape[1]! / args.keyCache.shape[1]!;
  }

  attend(run: AttentionRun): void {
    const { firstKey, endKey, firstState, headQueries } = run;
    const isWhole = firstState === -1;
    const isJoined = isWhole && endKey > sectionEnd(firstKey);
    const records = this.#states.begin(run);
    const source = this.#strips.sourceOf(headQueries);
    const isOneCall = source === 'pages' && this.#isOneRow(run);
    for (let start = firstKey; start < endKey; start = sectionEnd(start)) {
      const end = Math.min(sectionEnd(start), endKey);
      if (isOneCall) this.#oneRow.meet(run, records, start, end);
      else this.#manyRows.meet({ ...run, firstKey: start, endKey: end }, records, source);
      if (isJoined) this.#states.endSection(run);
    }
    if (isWhole) this.#states.finish(run.spans, isJoined ? 'totals' : 'section');
  }

  /** Whether all queries see all keys of the run. */
  #isOneRow({ firstQuery, headQueries }: AttentionRun): boolean {
    const rowOf = (query: number) => Math.floor(query / this.#numSharing);
    return rowOf(firstQuery) === rowOf(firstQuery + headQueries - 1);
  }
}

/** Where the section ends that holds a key. */
const sectionEnd = (key: number): number => key - (key % SECTION_KEYS) + SECTION_KEYS;
