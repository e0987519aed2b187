/** Decoding without an engine around it: the same step again and again, one token more in each, on a backend that computes
 * elsewhere. What is measured is what the calling thread does for a step, not what the GPU does. */
import { resolveEngineOptions } from '../../engine/engine-options.ts';
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import { loadEngine } from '../../engine/load-engine.ts';
import type { ForwardBatch, StepResult } from '../../engine/model/forward-batch.ts';
import type { Executor } from '../../engine/runner/executor.ts';

const BLOCK_SIZE = 16;
const NONE = new Int32Array(0);

export interface DecodeLoop {
  readonly backend: KernelBackend;
  /** Runs the next step. `recordedMs` is how long the call kept its thread until it began to wait. */
  step(): Promise<{ readonly result: StepResult; readonly recordedMs: number }>;
  close(): Promise<void>;
}

/** @param numSeqs  sequences in each step
 * @param maxSteps  steps that there is room for */
export async function openDecodeLoop(
  path: string,
  options: { readonly backend: string; readonly numSeqs?: number; readonly maxSteps: number },
): Promise<DecodeLoop> {
  const { backend: name, numSeqs = 1, maxSteps } = options;
  const sizes = { maxModelLen: maxSteps, blockSize: BLOCK_SIZE, maxNumSeqs: numSeqs, maxNumBatchedTokens: numSeqs };
  const loaded = await loadEngine(path, resolveEngineOptions({ backend: name, numThreads: 0, ...sizes }));
  const { executor, model, memory } = loaded;
  let position = 0;
  return {
    backend: model.backend,
    async step() {
      const batch = decodeBatch(position++, numSeqs, Math.ceil(maxSteps / BLOCK_SIZE));
      return timed(executor, batch);
    },
    async close() {
      await executor.close();
      memory.free();
      await model.backend.close();
    },
  };
}

async function timed(executor: Executor, batch: ForwardBatch) {
  const before = performance.now();
  // The call returns when it waits for the first time: everything is recorded then. It is submitted before anybody else's
  // turn comes.
  const waiting = executor.execute(batch);
  await undefined;
  const recordedMs = performance.now() - before;
  return { result: await waiting, recordedMs };
}

/** Every sequence at the same position, each with blocks of its own; greedy choice, as a GPU does it. */
function decodeBatch(position: number, numSeqs: number, blocksPerSeq: number): ForwardBatch {
  const of = (value: (seq: number) => number): Int32Array =>
    Int32Array.from({ length: numSeqs }, (_, seq) => value(seq));
  const numBlocks = Math.floor(position / BLOCK_SIZE) + 1;
  const firstBlock = (seq: number): number => 1 + seq * blocksPerSeq;
  return {
    numTokens: numSeqs,
    numSeqs,
    maxBlocksPerSeq: numBlocks,
    tokenIds: of((seq) => 1 + seq),
    positions: of(() => position),
    slotMapping: of((seq) => firstBlock(seq) * BLOCK_SIZE + position),
    queryStartLoc: Int32Array.from({ length: numSeqs + 1 }, (_, seq) => seq),
    seqLens: of(() => position + 1),
    blockTables: Int32Array.from(
      { length: numSeqs * numBlocks },
      (_, i) => firstBlock(Math.floor(i / numBlocks)) + (i % numBlocks),
    ),
    outputRows: of((seq) => seq),
    logitRows: of((seq) => seq),
    numTop: 1,
    sumRows: NONE,
    sumTemperatures: [],
    wantsLogits: false,
    scoreRows: NONE,
    scoreTokenIds: NONE,
    hiddenRows: NONE,
    blockCopies: NONE,
  };
}
