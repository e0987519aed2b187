/** Batch invariance on models that were really trained, with a full house: 64 requests run at the same time, on one to
 * three worker threads, and each gets the tokens and the bits of logits that it gets alone on the caller's thread. */
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import type { SamplingOptions } from '../../engine/sampling/sampling-options.ts';
import { cpuBackends, EngineHarness, type HarnessOptions } from '../helpers/engine-harness.ts';
import { ALONE_OPTIONS, expectAsAlone, runScenario, type ScenarioRequest } from '../helpers/engine-scenario.ts';
import { fixturePath, hasFixtures, skipNote } from '../helpers/fixtures.ts';

const NUM_REQUESTS = 64;
/** The others run as well; comparing all takes as long as 64 requests one after another. */
const isLongRun = process.env.QUERN_RUNS !== undefined;
const [backend = 'reference'] = await cpuBackends();

const SUBJECTS = ['king', 'old woman', 'fox', 'little girl', 'miller', 'wolf', 'giant', 'hen'];
const VERBS = ['went', 'said', 'saw', 'took', 'sat', 'cried', 'had', 'ran'];

/** Every third drawn. */
const isGreedy = (index: number): boolean => Math.floor(index / 8) % 3 !== 1;
const SAMPLING: readonly SamplingOptions[] = [
  {},
  { top_k: 40 },
  { top_p: 0.9, logprobs: 2 },
  { typical_p: 0.8 },
  { min_p: 0.02 },
];

/** Some greedy, some drawn; all with the same beginning, one in eight a little later. */
function requestsFor(harness: EngineHarness, maxTokens: number): ScenarioRequest[] {
  return Array.from({ length: NUM_REQUESTS }, (_, index) => ({
    kind: 'generate',
    prompt: [...harness.engine.tokenize(`Once the ${SUBJECTS[index % 8]} ${VERBS[Math.floor(index / 8)]}`)],
    maxTokens,
    n: 1,
    temperature: isGreedy(index) ? 0 : 0.8,
    sampling: isGreedy(index) ? {} : SAMPLING[index % SAMPLING.length]!,
    seed: index,
    stop: undefined,
    priority: 0,
    cacheSalt: '',
    arrivalStep: index % 8 === 7 ? 1 : 0,
    abortAfterSteps: undefined,
  }));
}

async function check(
  path: string,
  house: HarnessOptions & { readonly maxTokens: number; readonly numCompared: number },
): Promise<EngineHarness> {
  const { maxTokens, numCompared, ...options } = house;
  const alone = await EngineHarness.load(path, { ...ALONE_OPTIONS, backend });
  const harness = await EngineHarness.load(path, { backend, maxModelLen: 64, ...options });
  const requests = requestsFor(harness, maxTokens);
  const outcomes = await runScenario(harness, requests);
  const step = isLongRun ? 1 : NUM_REQUESTS / numCompared;
  const compared = requests.map((_, index) => index).filter((index) => index % step === 0);
  await expectAsAlone(
    alone,
    compared.map((index) => requests[index]!),
    compared.map((index) => outcomes[index]!),
  );
  expect(harness.findLeak()).toBeUndefined();
  expect(harness.engine.stats().numFinished).toBe(NUM_REQUESTS);
  expect(await harness.close()).toBeUndefined();
  await alone.close();
  return harness;
}

describe(`${NUM_REQUESTS} requests at a time`, () => {
  it.each([1, 2, 3])('the bundled draft model on %i threads', async (numThreads) => {
    const harness = await check(bundledModelPath('draft'), { numThreads, maxTokens: 6, numCompared: 16 });
    expect(harness.maxSeqsInStep).toBe(NUM_REQUESTS);
  });

  it('the bundled draft model with room for three of them, so that they displace each other', async () => {
    const harness = await check(bundledModelPath('draft'), {
      numThreads: 2,
      blockSize: 8,
      numBlocks: 9,
      maxTokens: 10,
      numCompared: 16,
    });
    expect(harness.engine.stats().numPreemptions).toBeGreaterThan(0);
  });

  it('the bundled story model', async () => {
    const harness = await check(bundledModelPath('story'), { numThreads: 2, maxTokens: 3, numCompared: 4 });
    expect(harness.maxSeqsInStep).toBe(NUM_REQUESTS);
  });

  it.skipIf(!hasFixtures)(`stories260K${skipNote}`, async () => {
    const path = fixturePath('stories260k/stories260K.gguf');
    const harness = await check(path, { numThreads: 2, maxTokens: 6, numCompared: 16 });
    expect(harness.maxSeqsInStep).toBe(NUM_REQUESTS);
  });
});
