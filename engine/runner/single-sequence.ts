/** One sequence through a model, without scheduler, sampling or threads: the shortest way from token ids to logits, and
 * a readable example of how a `ForwardBatch` is made. */

import { NonFiniteLogitsError } from '../errors.ts';
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { KvDType } from '../kvcache/kv-cache-storage.ts';
import type { ForwardBatch } from '../model/forward-batch.ts';
import { argmax } from '../sampling/argmax.ts';
import { InlineExecutor } from './inline-executor.ts';
import { allocateModelMemory } from './model-memory.ts';
import type { StepModel } from './step-program.ts';

export interface ScoreTokensOptions {
  /** At least one token id. */
  readonly tokens: readonly number[];
  /** Tokens to add greedily. */
  readonly generate: number;
  readonly kvDtype: KvDType;
}

/** Logits of consecutive positions, and the token chosen after the last of them. */
export interface ScoredTokens {
  /** Shape [numRows, vocabSize] */
  readonly rows: Float32Array;
  /** The greedy token, when one is still wanted. */
  readonly next?: number;
}

const BLOCK_SIZE = 16;
/** Prompt tokens, and so rows of logits, per step. */
const CHUNK = 32;
const NONE = new Int32Array(0);

/** Yields the prompt's logits a chunk at a time, then one row per generated token fed back. */
export async function* scoreTokens(
  model: Omit<StepModel, 'memory'> & { readonly backend: KernelBackend },
  { tokens, generate, kvDtype }: ScoreTokensOptions,
): AsyncGenerator<ScoredTokens> {
  const { backend, config } = model;
  const maxModelLen = tokens.length + generate;
  const allocated = allocateModelMemory(backend, config, {
    maxModelLen,
    blockSize: BLOCK_SIZE,
    numBlocks: Math.ceil(maxModelLen / BLOCK_SIZE),
    kvDtype,
    maxNumBatchedTokens: CHUNK,
    maxNumSeqs: 1,
    maxLogitRows: CHUNK,
  });
  const executor = new InlineExecutor(backend, { ...model, memory: allocated.memory });
  try {
    const ids = [...tokens];
    for (let start = 0; start < ids.length; ) {
      const end = Math.min(ids.length, start + CHUNK);
      const { logits: rows } = await executor.execute(chunkOf(ids, start, end));
      start = end;
      const isLast = end === ids.length && ids.length - tokens.length < generate;
      if (!isLast) {
        yield { rows };
        continue;
      }
      const next = argmax(rows.subarray(-config.vocabSize));
      if (next === -1) throw new NonFiniteLogitsError('the model gave no finite logit');
      ids.push(next);
      yield { rows, next };
    }
  } finally {
    allocated.free();
  }
}

/** Positions `start` to `end` of one sequence whose blocks are simply 0, 1, 2, ... */
function chunkOf(ids: readonly number[], start: number, end: number): ForwardBatch {
  const positions = Int32Array.from({ length: end - start }, (_, i) => start + i);
  const rows = Int32Array.from({ length: end - start }, (_, i) => i);
  const numBlocks = Math.ceil(end / BLOCK_SIZE);
  return {
    numTokens: end - start,
    numSeqs: 1,
    maxBlocksPerSeq: numBlocks,
    tokenIds: Int32Array.from(ids.slice(start, end)),
    positions,
    slotMapping: positions,
    queryStartLoc: Int32Array.of(0, end - start),
    seqLens: Int32Array.of(end),
    blockTables: Int32Array.from({ length: numBlocks }, (_, i) => i),
    outputRows: rows,
    logitRows: rows,
    numTop: 0,
    sumRows: NONE,
    sumTemperatures: [],
    wantsLogits: true,
    scoreRows: NONE,
    scoreTokenIds: NONE,
    hiddenRows: NONE,
    blockCopies: NONE,
  };
}
