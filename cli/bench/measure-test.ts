/** Measures one test on a loaded engine, through the same interface that a service uses: requests go in, greedy tokens
 * come out.
 *
 *   pp  queued |#### prompt ####| first token                              tokens / that time
 *   tg           one more token | first token |#|#|#|#|#| finished         batch * tokens / that time
 *
 * Prompts are random token ids. Their first `depth` tokens come from the prefix cache, filled before the clock starts. */
import type { Engine } from '../../engine/engine.ts';
import { Rng } from '../../engine/util/rng.ts';
import type { BenchTest } from './bench-test.ts';
import type { SequenceTimes } from './sequence-times.ts';

/** Any will do: speed does not depend on the tokens. */
const SEED = 1;

export interface TestBench {
  readonly engine: Pick<Engine, 'generate' | 'stats' | 'config'>;
  /** Hears the engine's events. */
  readonly times: SequenceTimes;
  readonly signal: AbortSignal;
}

/** Computes what the prompts begin with, so that `measureTest` finds it in the prefix cache. */
export async function prepareTest(bench: TestBench, test: BenchTest): Promise<void> {
  if (test.depth === 0) return;
  for (let sequence = 0; sequence < test.batch; sequence++) {
    await run(bench, [randomTokens(bench, test.depth, sequence)], 1);
  }
}

/** @param repetition  gives prompts of its own: whatever the prefix cache keeps of the last repetition is no help
 * @returns tokens per second
 * @throws what a request throws; Error when the engine did other work than the test's */
export async function measureTest(bench: TestBench, test: BenchTest, repetition: number): Promise<number> {
  const { kind, numTokens, batch, depth } = test;
  const prompts = Array.from({ length: batch }, (_, sequence) => {
    const own = randomTokens(bench, kind === 'pp' ? numTokens : 1, batch * (repetition + 2) + sequence);
    return depth === 0 ? own : [...randomTokens(bench, depth, sequence), ...own];
  });
  const { numPreemptions } = bench.engine.stats();
  bench.times.reset();
  const numCachedTokens = await run(bench, prompts, kind === 'pp' ? 1 : numTokens + 1);
  if (numCachedTokens.some((count) => count !== depth)) {
    throw new Error(`the prefix cache gave ${numCachedTokens.join(', ')} tokens instead of ${depth}`);
  }
  if (bench.engine.stats().numPreemptions !== numPreemptions) throw new Error('a sequence was preempted');
  const ms = kind === 'pp' ? bench.times.promptMs : bench.times.decodeMs;
  return (batch * numTokens * 1000) / ms;
}

/** @returns how many tokens of each prompt the prefix cache supplied */
async function run(
  { engine, signal }: TestBench,
  prompts: readonly (readonly number[])[],
  maxTokens: number,
): Promise<number[]> {
  const options = { max_tokens: maxTokens, temperature: 0, ignore_eos: true, signal };
  const results = await Promise.all(prompts.map((prompt) => engine.generate(prompt, options).result));
  return results.map(({ usage }) => usage.numCachedTokens);
}

function randomTokens({ engine }: TestBench, count: number, stream: number): number[] {
  const rng = Rng.fromSeed(SEED, stream);
  return Array.from({ length: count }, () => Math.floor(rng.nextFloat() * engine.config.vocabSize));
}
