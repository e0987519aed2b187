/** Prompt caches are saved and restored while requests come, preempt each other and end, and while threads die: no text may
 * change by it, and nothing may be left behind. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { QuernError } from '../../engine/errors.ts';
import type { GenerationChoice } from '../../engine/index.ts';
import { Rng } from '../../engine/util/rng.ts';
import { EngineHarness } from '../helpers/engine-harness.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { TINY, writeTinyModel } from '../helpers/tiny-models.ts';

const folder = useTemporaryFolder();
const modelPath = (): string => folder.at('model.gguf');
const [MAX_MODEL_LEN, BLOCK_SIZE, NUM_TURNS] = [160, 8, 24];

class Dice {
  readonly #rng: Rng;
  constructor(seed: number) {
    this.#rng = Rng.fromSeed(seed);
  }
  upTo(max: number): number {
    return Math.floor(this.#rng.nextFloat() * (max + 1));
  }
  tokens(count: number): number[] {
    return Array.from({ length: count }, () => this.upTo(250));
  }
}

const load = (numThreads: number, numSpareBlocks: number): Promise<EngineHarness> =>
  EngineHarness.load(modelPath(), {
    backend: 'wasm',
    numThreads,
    maxModelLen: MAX_MODEL_LEN,
    blockSize: BLOCK_SIZE,
    maxNumSeqs: 4,
    maxNumBatchedTokens: 24,
    numBlocks: MAX_MODEL_LEN / BLOCK_SIZE + 1 + numSpareBlocks,
  });

/** Some requests are given up in the middle, while a step may still write to their blocks.
 * @returns what differs from the same request alone, or fails for another reason */
async function ask(
  dice: Dice,
  heads: readonly number[][],
  [engine, alone]: readonly EngineHarness[],
): Promise<string | undefined> {
  const prompt = [...heads[dice.upTo(heads.length - 1)]!, ...dice.tokens(1 + dice.upTo(12))];
  const temperature = dice.upTo(1);
  const options = { seed: dice.upTo(1000), max_tokens: 1 + dice.upTo(20), temperature, logprobs: 1, ignore_eos: true };
  const textOf = ({ choices }: { readonly choices: readonly GenerationChoice[] }): string => JSON.stringify(choices);
  try {
    const stream = engine!.engine.generate(prompt, options);
    if (dice.upTo(2) === 0) setTimeout(() => stream.cancel(), dice.upTo(6));
    const found = textOf(await stream.result);
    const expected = textOf(await alone!.engine.generate(prompt, options).result);
    return found === expected ? undefined : `${found} instead of ${expected}`;
  } catch (error) {
    const isExpected = QuernError.isInstance(error) && ['WORKER_CRASHED', 'ABORTED'].includes(error.code);
    return isExpected ? undefined : String(error);
  }
}

async function run(seed: number): Promise<void> {
  const dice = new Dice(seed);
  await writeTinyModel(modelPath(), {
    ...TINY,
    seed,
    contextLength: 256,
    slidingWindow: [undefined, 24][dice.upTo(1)],
  });
  const cache = folder.at('prompts.cache');
  await rm(cache, { force: true });
  const alone = await load(0, 40);
  const busy = await load(2, dice.upTo(12));
  const heads = [40, 20, 60].map((length) => dice.tokens(length));
  const jobs: Promise<string | undefined>[] = [];
  const quietly = async (job: Promise<unknown>): Promise<undefined> => void (await job);
  for (let turn = 0; turn < NUM_TURNS; turn++) {
    const lot = dice.upTo(9);
    if (lot < 5) jobs.push(ask(dice, heads, [busy, alone]));
    else if (lot < 7) jobs.push(quietly(busy.engine.savePromptCache(cache)));
    else if (lot < 9) jobs.push(quietly(busy.engine.restorePromptCache(cache)));
    else void busy.workers[dice.upTo(1)]?.terminate();
    if (dice.upTo(1) === 0) await sleep(dice.upTo(8));
  }
  expect((await Promise.all(jobs)).filter((problem) => problem !== undefined)).toEqual([]);
  await busy.engine.savePromptCache(cache);
  expect(existsSync(cache)).toBe(true);
  expect(await busy.close()).toBeUndefined();

  const next = await load(1, 20);
  const during = ask(dice, heads, [next, alone]);
  expect((await next.engine.restorePromptCache(cache)).refused).toBeUndefined();
  const problems = await Promise.all([during, ...heads.map(() => ask(dice, heads, [next, alone]))]);
  expect(problems).toEqual(problems.map(() => undefined));
  expect(await next.close()).toBeUndefined();
  expect(await alone.close()).toBeUndefined();
}

it('saving and restoring between requests that preempt each other, with threads that die', async () => {
  const numRuns = Math.ceil(fc.readConfigureGlobal().numRuns! / 50);
  await fc.assert(fc.asyncProperty(fc.nat(), run), { numRuns });
});
