/** pagedAttention over pages of any KV dtype: a part is a run of units of about equal cost, then sections of long pasts
 * as long as there are any, then a share of the queries that met those. */
import { checkPages } from '../../check-indices.ts';
import type { PagedAttentionArgs } from '../../ops.ts';
import { attentionScratch } from '../generators/attention-scratch.ts';
import { THREAD_SCRATCH_BYTES, threadScratch } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { AttentionStates, maxStates } from './attention-states.ts';
import { type AttentionUnit, dividedSequences, unitRuns, unitsOfPart, unitsOfSection } from './attention-units.ts';
import { AttentionWalk } from './attention-walk.ts';
import { intsIn } from './index-inputs.ts';
import { areNative } from './kv-pages.ts';
import type { NativeOp, Share } from './native-op.ts';
import { takePieces } from './tickets.ts';

export const pagedAttention: NativeOp<'pagedAttention'> = {
  takes: ({ keyCache, valueCache }) => areNative(keyCache, valueCache),
  run: attend,
};

function attend(machine: Machine, args: PagedAttentionArgs, share: Share): void {
  const { memory } = machine;
  const { part } = share;
  const [numTokens, numHeads, headDim] = args.q.shape as [number, number, number];
  const [numBlocks, numKvHeads, blockSize] = args.keyCache.shape as [number, number, number, number];
  const blockTables = intsIn(memory, args.blockTables);
  const queryStartLoc = intsIn(memory, args.queryStartLoc);
  const seqLens = intsIn(memory, args.seqLens);
  const window = args.slidingWindow ?? Number.POSITIVE_INFINITY;
  checkPages({ blockTables, queryStartLoc, seqLens, numTokens, numBlocks, blockSize, window });

  const scratch = attentionScratch(threadScratch(part.index), THREAD_SCRATCH_BYTES, headDim);
  const limits = { maxQueries: scratch.numQueries, maxStates: maxStates(scratch) };
  const batch = { queryStartLoc, seqLens, numKvHeads, numSharing: numHeads / numKvHeads, window, ...limits };
  const states = new AttentionStates(machine, args, scratch);
  const walk = new AttentionWalk(machine, args, scratch, states);
  const divided = dividedSequences(batch);
  // Another thread may still be joining what lies in the area from an op before.
  if (divided.length > 0 && share.numJoined > 0) share.meet();
  const attendTo = (units: readonly AttentionUnit[]): void => {
    for (const run of unitRuns(units, scratch.numQueries)) {
      const { sequence } = run[0]!;
      const firstRow = queryStartLoc[sequence]!;
      const numRows = queryStartLoc[sequence + 1]! - firstRow;
      walk.attend(run, firstRow, seqLens[sequence]! - numRows);
    }
  };
  attendTo(unitsOfPart(batch, divided, part));
  if (divided.length === 0) return;
  const sections = divided.flatMap((entry) => Array.from({ length: entry.numSections }, (_, i) => [entry, i] as const));
  takePieces(machine, share, sections.length, (piece) => attendTo(unitsOfSection(batch, ...sections[piece]!)));
  share.meet();
  states.finishDivided(divided, queryStartLoc, part);
}
