/** pagedAttention over pages of any KV dtype: a part is runs of queries, of about equal cost, then sections of long pasts as long
 * as there are any, then a share of the queries that met those (attention-plan.ts). */
import { checkPages, type PagedBatch } from '../../check-indices.ts';
import type { PagedAttentionArgs } from '../../ops.ts';
import { attentionScratch } from '../generators/attention-scratch.ts';
import { THREAD_SCRATCH_BYTES, threadScratch } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import type { AttentionBatch } from './attention-queries.ts';
import { AttentionStates, maxStates } from './attention-states.ts';
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

/** The op on one thread. What lies in the index tensors is another thing at every call, where they lie is not. */
class Attention {
  readonly thread: number;
  readonly #machine: Machine;
  readonly #pages: PagedBatch;
  readonly #batch: AttentionBatch;
  readonly #states: AttentionStates;
  readonly #walk: AttentionWalk;

  constructor(machine: Machine, args: PagedAttentionArgs, thread: number) {
    this.thread = thread;
    this.#machine = machine;
    const [numTokens, numHeads, headDim] = args.q.shape as [number, number, number];
    const [numBlocks, numKvHeads, blockSize] = args.keyCache.shape as [number, number, number, number];
    const [queryStartLoc, seqLens] = [intsIn(machine.memory, args.queryStartLoc), intsIn(machine.memory, args.seqLens)];
    const blockTables = intsIn(machine.memory, args.blockTables);
    const window = args.slidingWindow ?? Number.POSITIVE_INFINITY;
    this.#pages = { blockTables, queryStartLoc, seqLens, numTokens, numBlocks, blockSize, window };
    const scratch = attentionScratch(threadScratch(thread), THREAD_SCRATCH_BYTES, headDim);
    const limits = { maxQueries: scratch.numQueries, maxStates: maxStates(scratch) };
    this.#batch = { queryStartLoc, seqLens, numKvHeads, numSharing: numHeads / numKvHeads, window, ...limits };
    this.#states = new AttentionStates(machine, args, scratch);
    this.#walk = new AttentionWalk(machine, args, scratch, this.#states);
  }

  run(share: Share): void {
    checkPages(this.#pages);
    const { runs, sections, joins } = share.plans.planFor(this.#batch);
    this.#states.forgetQueries();
    // Another thread may still be joining what lies in the area from an op before.
    if (sections.length > 0 && share.numJoined > 0) share.meet();
    for (const run of runs) this.#walk.attend(run);
    if (sections.length === 0) return;
    takePieces(this.#machine, share, sections.length, (piece) => this.#walk.attend(sections[piece]!));
    share.meet();
    for (const join of joins) this.#states.join(join);
  }
}
