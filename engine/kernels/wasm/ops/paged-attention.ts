/** pagedAttention over pages of any KV dtype: a part is a run of units of about equal cost. */
import { checkPages } from '../../check-indices.ts';
import type { PagedAttentionArgs } from '../../ops.ts';
import { attentionScratch } from '../generators/attention-scratch.ts';
import { THREAD_SCRATCH_BYTES, threadScratch } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { unitRuns, unitsOfPart } from './attention-units.ts';
import { AttentionWalk } from './attention-walk.ts';
import { intsIn } from './index-inputs.ts';
import { areNative } from './kv-pages.ts';
import type { NativeOp, Share } from './native-op.ts';

export const pagedAttention: NativeOp<'pagedAttention'> = {
  takes: ({ keyCache, valueCache }) => areNative(keyCache, valueCache),
  run: attend,
};

function attend(machine: Machine, args: PagedAttentionArgs, { part }: Share): void {
  const { memory } = machine;
  const [numTokens, numHeads, headDim] = args.q.shape as [number, number, number];
  const [numBlocks, numKvHeads, blockSize] = args.keyCache.shape as [number, number, number, number];
  const blockTables = intsIn(memory, args.blockTables);
  const queryStartLoc = intsIn(memory, args.queryStartLoc);
  const seqLens = intsIn(memory, args.seqLens);
  const window = args.slidingWindow ?? Number.POSITIVE_INFINITY;
  checkPages({ blockTables, queryStartLoc, seqLens, numTokens, numBlocks, blockSize, window });

  const scratch = attentionScratch(threadScratch(part.index), THREAD_SCRATCH_BYTES, headDim);
  const [numSharing, maxQueries] = [numHeads / numKvHeads, scratch.numQueries];
  const walk = new AttentionWalk(machine, args, scratch);
  const units = unitsOfPart({ queryStartLoc, seqLens, numKvHeads, numSharing, window, maxQueries }, part);
  for (const run of unitRuns(units, maxQueries)) {
    const { sequence } = run[0]!;
    const firstRow = queryStartLoc[sequence]!;
    const numRows = queryStartLoc[sequence + 1]! - firstRow;
    walk.attend(run, firstRow, seqLens[sequence]! - numRows);
  }
}
