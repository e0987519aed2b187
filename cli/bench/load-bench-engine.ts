/** Loads a model for measuring: with the engine's own defaults, and just the memory that the tests need, so that nothing
 * is preempted. */
import { Engine } from '../../engine/engine.ts';
import type { EngineOptions } from '../../engine/engine-options.ts';
import { bytesPerKvBlock, type KvDType } from '../../engine/kvcache/kv-cache-storage.ts';
import type { ModelConfig } from '../../engine/model/model-config.ts';
import { type BenchTest, BLOCK_SIZE, contextOf } from './bench-test.ts';
import { SequenceTimes } from './sequence-times.ts';

export interface BenchEngineOptions extends EngineOptions {
  readonly kvDtype: KvDType;
}

export interface LoadedBench {
  readonly engine: Engine;
  readonly times: SequenceTimes;
  /** From the call until the first step need not wait. */
  readonly loadMs: number;
}

/** The scheduler keeps a hundredth of the blocks free when it admits a sequence. */
const WATERMARK = 1.02;
const SPARE_BLOCKS = 8;

/** @throws what `Engine.load` throws */
export async function loadBenchEngine(
  path: string,
  tests: readonly BenchTest[],
  config: ModelConfig,
  options: BenchEngineOptions,
): Promise<LoadedBench> {
  const times = new SequenceTimes();
  const startMs = performance.now();
  const engine = await Engine.load(path, {
    ...options,
    blockSize: BLOCK_SIZE,
    maxModelLen: Math.max(...tests.map(contextOf)),
    maxNumSeqs: Math.max(...tests.map(({ batch }) => batch)),
    kvCacheBytes: kvCacheBytes(tests, config, options.kvDtype),
    enablePrefixCaching: tests.some(({ depth }) => depth > 0),
    onSequenceEvent: times.listener,
  });
  return { engine, times, loadMs: performance.now() - startMs };
}

function kvCacheBytes(tests: readonly BenchTest[], config: ModelConfig, dtype: KvDType): number {
  const { numLayers, numKvHeads, headDim } = config;
  const numBlocks = Math.max(...tests.map((test) => test.batch * Math.ceil(contextOf(test) / BLOCK_SIZE)));
  // The engine wants room for one sequence of the longest context, and one block is nobody's.
  const longest = Math.max(...tests.map((test) => Math.ceil(contextOf(test) / BLOCK_SIZE)));
  const count = Math.ceil(Math.max(numBlocks, longest) * WATERMARK) + SPARE_BLOCKS;
  return count * bytesPerKvBlock({ dtype, numLayers, numKvHeads, blockSize: BLOCK_SIZE, headDim });
}
