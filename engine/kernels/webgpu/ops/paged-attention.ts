/** pagedAttention: which kernels run, and with what. A row and head's keys are taken in sections of some hundred positions; each
 * has a softmax of its own, and the sections are merged in the order of their positions (`paged-attention-code.ts`).
 *
 *   prompt, many rows    one workgroup per row and head walks all its sections
 *   decoding, few rows   one workgroup per row, head and section; a second kernel merges what they leave in scratch memory
 *
 * Sections begin at multiples of their size of the key's position, and both ways compute the same: no bit depends on pages,
 * chunks, who else is in the batch, or how many workgroups there are (law 2).
 * Source  Dao et al. 2023, "Flash-Decoding for long-context inference" */
import { checkPages } from '../../check-indices.ts';
import type { OpArgs } from '../../ops.ts';
import type { BoundTensor } from '../gpu-memory.ts';
import { look, type OpContext, packParams } from '../op-context.ts';
import type { KvDType } from './kv-formats.ts';
import { type AttentionVariant, attentionCode, labelOf, mergeCode } from './paged-attention-code.ts';

/** Stands for "no sliding window": no position is so large. */
const NO_WINDOW = 0xffff_ffff;

export function pagedAttention(context: OpContext, args: OpArgs['pagedAttention']): void {
  const { q, keyCache, valueCache, blockTables, queryStartLoc, seqLens, slidingWindow, softCap } = args;
  const [numTokens, numHeads, headDim] = q.shape as [number, number, number];
  const [numBlocks, , blockSize] = keyCache.shape as [number, number, number, number];
  const window = slidingWindow ?? Number.POSITIVE_INFINITY;
  const { sectionSize, maxWorkgroupsToSplit } = context.abilities;
  const [numRows, numSections] = look(context, [blockTables, queryStartLoc, seqLens], (tables, starts, lengths) => {
    checkPages({
      blockTables: tables!,
      queryStartLoc: starts!,
      seqLens: lengths!,
      numTokens,
      numBlocks,
      blockSize,
      window,
    });
    return [starts!.at(-1)!, Math.ceil(longestOf(lengths!) / sectionSize)];
  }) as [number, number];
  if (headDim === 0 || numHeads === 0 || numRows === 0) return;
  const isSplit = numSections > 1 && numRows * numHeads < maxWorkgroupsToSplit;
  const variant: AttentionVariant = {
    dtypes: [keyCache.dtype as KvDType, valueCache.dtype as KvDType],
    headDim,
    hasSoftCap: softCap !== undefined,
    sectionSize,
    isSplit,
  };
  run(context, args, { variant, numRows, numSections });
}

function longestOf(lengths: Int32Array): number {
  let longest = 0;
  for (const length of lengths) longest = Math.max(longest, length);
  return longest;
}

interface Plan {
  readonly variant: AttentionVariant;
  readonly numRows: number;
  readonly numSections: number;
}

function run(context: OpContext, args: OpArgs['pagedAttention'], { variant, numRows, numSections }: Plan): void {
  const { memory, recorder, library } = context;
  const { q, keyCache, valueCache } = args;
  const [numHeads] = q.shape.slice(1) as [number, number];
  const [query, output] = [memory.bind(q), memory.bind(args.out)];
  const tables = [args.blockTables, args.queryStartLoc, args.seqLens].map((tensor) => memory.bind(tensor));
  const params = paramsOf(args, numSections, {
    query,
    output,
    tables: tables as [BoundTensor, BoundTensor, BoundTensor],
  });
  const { isSplit } = variant;
  const partial = isSplit ? partialResults(context, numRows * numHeads * numSections * (2 + variant.headDim)) : output;
  const kernel = library.get(labelOf(variant), () => ({
    bindings: ['uniform', 'read', 'read', 'read', 'read', 'read', 'read', 'read_write'],
    code: attentionCode(variant),
  }));
  recorder.dispatch(kernel, {
    params,
    storage: [query, memory.bind(keyCache), memory.bind(valueCache), ...tables, partial],
    workgroups: [numHeads, numRows, isSplit ? numSections : 1],
  });
  if (!isSplit) return;
  const merge = library.get(`merge of ${labelOf(variant)}`, () => ({
    bindings: ['uniform', 'read', 'read', 'read', 'read_write'],
    code: mergeCode(variant),
  }));
  const [, starts, lengths] = tables as [BoundTensor, BoundTensor, BoundTensor];
  recorder.dispatch(merge, {
    params,
    storage: [partial, starts, lengths, output],
    workgroups: [numHeads, numRows, 1],
  });
}

/** Scratch memory between the two kernels. */
function partialResults({ memory, scratch }: OpContext, count: number): BoundTensor {
  return memory.bindRange(scratch.take(memory, 'attention', count), 0, 4 * count);
}

function paramsOf(
  { q, keyCache, blockTables, scale, slidingWindow, softCap }: OpArgs['pagedAttention'],
  numSections: number,
  bound: {
    readonly query: BoundTensor;
    readonly output: BoundTensor;
    readonly tables: readonly [BoundTensor, BoundTensor, BoundTensor];
  },
): Uint32Array {
  const [, numHeads, headDim] = q.shape as [number, number, number];
  const [, numKvHeads, blockSize] = keyCache.shape as [number, number, number, number];
  const [blocks, starts, lengths] = bound.tables;
  return packParams(
    [
      numHeads,
      numKvHeads,
      blockSize,
      blockTables.shape[1]!,
      Math.min(slidingWindow ?? NO_WINDOW, NO_WINDOW),
      bound.query.wordOffset,
      blocks.wordOffset,
      starts.wordOffset,
      lengths.wordOffset,
      bound.output.wordOffset,
      headDim,
      numSections,
    ],
    [scale, softCap ?? 0],
  );
}
