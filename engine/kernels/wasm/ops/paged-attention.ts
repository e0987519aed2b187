/** pagedAttention over f32 or f16 pages, without soft cap, for heads of a multiple of 8: anything else is the
 * reference's. Pages lie as the reference's do.
 *
 * A unit is a (query row, KV head) pair with all query heads that share the KV head. Units go to the parts in turn: of a
 * prompt's rows the later see more keys, and neighbours see about the same. */
import { checkPages } from '../../check-indices.ts';
import type { PagedAttentionArgs } from '../../ops.ts';
import { attentionScratchBytes } from '../generators/attention.ts';
import { THREAD_SCRATCH_BYTES, threadScratch } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf } from '../wasm-buffer.ts';
import { intsIn } from './index-inputs.ts';
import type { NativeOp, Share } from './native-op.ts';

const BYTES_PER_ELEMENT = { f32: 4, f16: 2 } as const;

export const pagedAttention: NativeOp<'pagedAttention'> = {
  takes({ q, keyCache, valueCache, softCap }) {
    const [, numHeads, headDim] = q.shape as [number, number, number];
    return (
      keyCache.dtype in BYTES_PER_ELEMENT &&
      valueCache.dtype === keyCache.dtype &&
      headDim > 0 &&
      headDim % 8 === 0 &&
      softCap === undefined &&
      attentionScratchBytes(numHeads / keyCache.shape[1]!) <= THREAD_SCRATCH_BYTES
    );
  },
  run: attend,
};

function attend(machine: Machine, args: PagedAttentionArgs, { part }: Share): void {
  const { kernels, memory } = machine;
  const [numTokens, numHeads, headDim] = args.q.shape as [number, number, number];
  const [numBlocks, numKvHeads, blockSize] = args.keyCache.shape as [number, number, number, number];
  const [numSeqs, maxBlocks] = args.blockTables.shape as [number, number];
  const blockTables = intsIn(memory, args.blockTables);
  const queryStartLoc = intsIn(memory, args.queryStartLoc);
  const seqLens = intsIn(memory, args.seqLens);
  const window = args.slidingWindow ?? Number.POSITIVE_INFINITY;
  checkPages({ blockTables, queryStartLoc, seqLens, numTokens, numBlocks, blockSize, window });

  const dtype = args.keyCache.dtype as keyof typeof BYTES_PER_ELEMENT;
  const kernel = kernels[`attention_${dtype}`]!;
  const headBytes = blockSize * headDim * BYTES_PER_ELEMENT[dtype];
  const [q, out] = [addressOf(args.q), addressOf(args.out)];
  const [keys, values] = [addressOf(args.keyCache), addressOf(args.valueCache)];
  const tables = addressOf(args.blockTables);
  const numSharing = numHeads / numKvHeads;
  const scratch = threadScratch(part.index);

  for (let s = 0; s < numSeqs; s++) {
    const [firstRow, endRow, seqLen] = [queryStartLoc[s]!, queryStartLoc[s + 1]!, seqLens[s]!];
    for (let row = firstRow; row < endRow; row++) {
      const position = seqLen - endRow + row;
      const firstKey = Math.max(0, position - window + 1);
      for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
        if ((row * numKvHeads + kvHead) % part.count !== part.index) continue;
        const offset = (row * numHeads + kvHead * numSharing) * headDim * 4;
        if (seqLen === 0) {
          memory.floats.fill(0, (out + offset) / 4, (out + offset) / 4 + numSharing * headDim);
          continue;
        }
        kernel(
          q + offset,
          out + offset,
          numSharing,
          headDim,
          tables + s * maxBlocks * 4,
          firstKey,
          position + 1 - firstKey,
          blockSize,
          numKvHeads * headBytes,
          keys + kvHead * headBytes,
          values + kvHead * headBytes,
          scratch,
          args.scale,
        );
      }
    }
  }
}
