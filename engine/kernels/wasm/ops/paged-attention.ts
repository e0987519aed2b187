/** pagedAttention over pages of any KV dtype: a part is a run of units of about equal cost, then sections of long pasts
 * as long as there are any, then a share of the queries that met those. */
import { checkPages } from '../../check-indices.ts';
import type { PagedAttentionArgs } from '../../ops.ts';
import { type AttentionScratch, attentionScratch } from '../generators/attention-scratch.ts';
import { THREAD_SCRATCH_BYTES, threadScratch } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { AttentionStates, maxStates } from './attention-states.ts';
import {
  type AttentionBatch,
  type AttentionUnit,
  dividedSequences,
  unitRuns,
  unitsOfPart,
  unitsOfSection,
} from './attention-units.ts';
import { AttentionWalk } from './attention-walk.ts';
import { intsIn } from './index-inputs.ts';
import { areNative } from './kv-pages.ts';
import type { NativeOp, Share } from './native-op.ts';
import { takePieces } from './tickets.ts';

export const pagedAttention: NativeOp<'pagedAttention'> = {
  takes: ({ keyCache, valueCache }) => areNative(keyCache, valueCache),
  prepare(machine, args) {
    // Scratch memory is a thread's own, and the same thread plays what was prepared.
    let attention: Attention | undefined;
    return (share) => {
      if (attention?.thread !== share.part.index) attention = new Attention(machine, args, share.part.index);
      attention.run(share);
    };
  },
};

/** The op on one thread. What lies in the index tensors is another thing at every call. */
class Attention {
  readonly thread: number;
  readonly #machine: Machine;
  readonly #args: PagedAttentionArgs;
  readonly #scratch: AttentionScratch;
  readonly #states: AttentionStates;
  readonly #walk: AttentionWalk;

  constructor(machine: Machine, args: PagedAttentionArgs, thread: number) {
    this.thread = thread;
    this.#machine = machine;
    this.#args = args;
    this.#scratch = attentionScratch(threadScratch(thread), THREAD_SCRATCH_BYTES, args.q.shape[2]!);
    this.#states = new AttentionStates(machine, args, this.#scratch);
    this.#walk = new AttentionWalk(machine, args, this.#scratch, this.#states);
  }

  run(share: Share): void {
    const batch = this.#checkedBatch();
    const divided = dividedSequences(batch);
    this.#states.forgetQueries();
    // Another thread may still be joining what lies in the area from an op before.
    if (divided.length > 0 && share.numJoined > 0) share.meet();
    this.#attend(batch, unitsOfPart(batch, divided, share.part));
    if (divided.length === 0) return;
    const sections = divided.flatMap((entry) =>
      Array.from({ length: entry.numSections }, (_, i) => [entry, i] as const),
    );
    takePieces(this.#machine, share, sections.length, (piece) =>
      this.#attend(batch, unitsOfSection(batch, ...sections[piece]!)),
    );
    share.meet();
    this.#states.finishDivided(divided, batch.queryStartLoc, share.part);
  }

  #checkedBatch(): AttentionBatch {
    const { memory } = this.#machine;
    const { q, keyCache, slidingWindow } = this.#args;
    const [numTokens, numHeads] = q.shape as [number, number, number];
    const [numBlocks, numKvHeads, blockSize] = keyCache.shape as [number, number, number, number];
    const blockTables = intsIn(memory, this.#args.blockTables);
    const queryStartLoc = intsIn(memory, this.#args.queryStartLoc);
    const seqLens = intsIn(memory, this.#args.seqLens);
    const window = slidingWindow ?? Number.POSITIVE_INFINITY;
    checkPages({ blockTables, queryStartLoc, seqLens, numTokens, numBlocks, blockSize, window });
    const limits = { maxQueries: this.#scratch.numQueries, maxStates: maxStates(this.#scratch) };
    return { queryStartLoc, seqLens, numKvHeads, numSharing: numHeads / numKvHeads, window, ...limits };
  }

  #attend({ queryStartLoc, seqLens }: AttentionBatch, units: readonly AttentionUnit[]): void {
    for (const run of unitRuns(units, this.#scratch.numQueries)) {
      const { sequence } = run[0]!;
      const firstRow = queryStartLoc[sequence]!;
      const numRows = queryStartLoc[sequence + 1]! - firstRow;
      this.#walk.attend(run, firstRow, seqLens[sequence]! - numRows);
    }
  }
}
