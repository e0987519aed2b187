/** What a thread does of an attention op. Which queries meet in a run, and on which thread, changes no bit of any.
 * Pure arithmetic over positions; no memory, no kernel. */
import type { Part } from '../../part.ts';
import type { AttentionBatch, AttentionRun } from './attention-queries.ts';
import { dividedSequences, type Join, joinsOfPart, sectionRuns } from './attention-sections.ts';
import { runsOfPart } from './attention-units.ts';

export interface AttentionPlan {
  /** The thread's own. */
  readonly runs: readonly AttentionRun[];
  /** The same for all threads: each does those that it takes. */
  readonly sections: readonly AttentionRun[];
  /** After all sections, the thread's own. */
  readonly joins: readonly Join[];
}

export function planAttention(batch: AttentionBatch, part: Part): AttentionPlan {
  const divided = dividedSequences(batch);
  return {
    runs: runsOfPart(batch, new Set(divided.map(({ sequence }) => sequence)), part),
    sections: sectionRuns(batch, divided),
    joins: joinsOfPart(batch, divided, part),
  };
}

/** A thread's plans during a step. Layers with the same heads and the same window share one: it is made once and not once
 * for each of them. */
export class AttentionPlans {
  readonly #part: Part;
  readonly #made: { readonly batch: AttentionBatch; readonly plan: AttentionPlan }[] = [];

  constructor(part: Part) {
    this.#part = part;
  }

  /** @param batch  its arrays may hold something else the next time */
  planFor(batch: AttentionBatch): AttentionPlan {
    const known = this.#made.find((made) => isSame(made.batch, batch));
    if (known !== undefined) return known.plan;
    const own = { ...batch, queryStartLoc: batch.queryStartLoc.slice(), seqLens: batch.seqLens.slice() };
    const plan = planAttention(own, this.#part);
    this.#made.push({ batch: own, plan });
    return plan;
  }
}

function isSame(a: AttentionBatch, b: AttentionBatch): boolean {
  return (
    a.numKvHeads === b.numKvHeads &&
    a.numSharing === b.numSharing &&
    a.window === b.window &&
    a.maxQueries === b.maxQueries &&
    a.maxStates === b.maxStates &&
    holdSame(a.queryStartLoc, b.queryStartLoc) &&
    holdSame(a.seqLens, b.seqLens)
  );
}

function holdSame(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
