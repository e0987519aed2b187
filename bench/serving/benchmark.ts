/** Runs every part of the serving benchmark: a warm-up that is thrown away, then repetitions of the same requests, each
 * with a cold prefix cache. */
import { setTimeout as delay } from 'node:timers/promises';
import { summarize } from '../../cli/statistics.ts';
import type { Engine } from '../../engine/engine.ts';
import { type EventLoopDelay, withEventLoopDelay } from '../lib/event-loop.ts';
import { type LoadOptions, type LoadSample, measureLoad } from './load.ts';
import { measureSharedPrefix, type PrefixSample } from './shared-prefix.ts';
import { mixedWorkload, poissonArrivals } from './workload.ts';

/** A Poisson load at all the engine can do would queue without end. */
const POISSON_UTILIZATION = 0.7;
const IDLE_MS = 2000;
/** Fewer would say little about percentiles. */
const MIN_REQUESTS = 8;

export interface BenchmarkOptions {
  readonly concurrencies: readonly number[];
  /** Per repetition. Default: twice the concurrency, at least 8. */
  readonly numRequests: number | undefined;
  readonly numRepetitions: number;
  readonly seed: number;
  readonly onProgress: (what: string) => void;
}

export interface LoadResult {
  readonly scenario: 'closed-loop' | 'poisson';
  readonly concurrency: number;
  readonly numRequests: number;
  readonly samples: readonly LoadSample[];
}

export interface BenchmarkResult {
  readonly loads: readonly LoadResult[];
  readonly prefix: readonly PrefixSample[];
  /** While nothing happens: how noisy the machine is. */
  readonly idle: EventLoopDelay;
}

export async function runBenchmark(engine: Engine, options: BenchmarkOptions): Promise<BenchmarkResult> {
  const vocabulary = normalTokens(engine);
  options.onProgress('idle event loop');
  const { delay: idle } = await withEventLoopDelay(() => delay(IDLE_MS));
  const loads: LoadResult[] = [];
  for (const concurrency of options.concurrencies) {
    loads.push(...(await runLoads(engine, { concurrency, vocabulary, options })));
  }
  const prefix = await repeat(options, 'shared prefix', (repetition) =>
    measureSharedPrefix(engine, { seed: options.seed, vocabulary, cacheSalt: `prefix ${repetition}` }),
  );
  return { loads, prefix, idle };
}

interface LoadPlan {
  readonly concurrency: number;
  readonly vocabulary: readonly number[];
  readonly options: BenchmarkOptions;
}

async function runLoads(engine: Engine, { concurrency, vocabulary, options }: LoadPlan): Promise<LoadResult[]> {
  const { seed, numRequests = Math.max(MIN_REQUESTS, 2 * concurrency) } = options;
  const requests = mixedWorkload({ seed, numRequests, vocabulary, maxModelLen: engine.maxModelLen });
  const run = (scenario: LoadResult['scenario'], load: Omit<LoadOptions, 'cacheSalt'>): Promise<LoadSample[]> =>
    repeat(options, `${scenario}, concurrency ${concurrency}`, (repetition) =>
      measureLoad(engine, { ...load, cacheSalt: `${scenario} ${concurrency} ${repetition}` }),
    );
  const closed = await run('closed-loop', { requests, concurrency });
  const rate = POISSON_UTILIZATION * summarize(closed.map((sample) => sample.requestsPerSecond)).median;
  const arrivalsMs = poissonArrivals(seed, numRequests, rate);
  const poisson = await run('poisson', { requests, concurrency, arrivalsMs });
  return [
    { scenario: 'closed-loop', concurrency, numRequests, samples: closed },
    { scenario: 'poisson', concurrency, numRequests, samples: poisson },
  ];
}

/** @param measure  called with -1 for the warm-up, then with 0, 1, 2, ... */
async function repeat<T>(
  { numRepetitions, onProgress }: BenchmarkOptions,
  what: string,
  measure: (repetition: number) => Promise<T>,
): Promise<T[]> {
  const samples: T[] = [];
  for (let repetition = -1; repetition < numRepetitions; repetition++) {
    onProgress(repetition < 0 ? `${what}: warm-up` : `${what}: ${repetition + 1} of ${numRepetitions}`);
    const sample = await measure(repetition);
    if (repetition >= 0) samples.push(sample);
  }
  return samples;
}

/** No special tokens: a prompt of random ones must not end anything. */
function normalTokens({ tokenizer, config }: Engine): number[] {
  const numTokens = Math.min(tokenizer.vocabSize, config.vocabSize);
  return Array.from({ length: numTokens }, (_, id) => id).filter((id) => tokenizer.tokenType(id) === 'normal');
}
