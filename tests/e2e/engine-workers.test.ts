/** Worker threads that die, and an engine that is closed while it works: the promised errors, a pool that heals, and
 * nothing left behind. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { EngineClosedError, WorkerCrashedError } from '../../engine/errors.ts';
import type { GenerateOptions } from '../../engine/requests/generate-options.ts';
import { Sampler } from '../../engine/sampling/sampler.ts';
import { cpuBackends, EngineHarness, holdNextStep } from '../helpers/engine-harness.ts';
import { rejection } from '../helpers/rejection.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { TINY, writeTinyModel } from '../helpers/tiny-models.ts';

const folder = useTemporaryFolder();
const OPTIONS: GenerateOptions = { max_tokens: 12, temperature: 0, ignore_eos: true };
const backends = await cpuBackends();
const PROMPTS = Array.from({ length: 6 }, (_, i) => [1, 2, 3, 4, 5, 6, 7, 8, i]);
/** The texts of `PROMPTS`, each alone, by backend. */
const alone = new Map<string, string[]>();
const path = (): string => folder.at('tiny.gguf');
let harness: EngineHarness;

beforeAll(async () => {
  await writeTinyModel(path(), TINY);
  for (const backend of backends) {
    harness = await EngineHarness.load(path(), { backend, maxModelLen: 64, maxNumSeqs: 1 });
    const texts: string[] = [];
    for (const prompt of PROMPTS) texts.push((await harness.engine.generate(prompt, OPTIONS).result).text);
    alone.set(backend, texts);
    await harness.close();
  }
});

afterEach(async () => expect(await harness.close()).toBeUndefined());

async function expectHealthy(backend: string): Promise<void> {
  const texts = await Promise.all(
    PROMPTS.map(async (prompt) => (await harness.engine.generate(prompt, OPTIONS).result).text),
  );
  expect(texts).toEqual(alone.get(backend));
  expect(harness.findLeak()).toBeUndefined();
}

describe.each(backends)('a worker that is killed (%s)', (backend) => {
  it.each([
    [1, 0],
    [2, 0],
    [3, 1],
  ])(
    'in a step, of %i workers number %i: its requests fail, those in the queue do not, and the pool heals',
    async (numThreads, victim) => {
      harness = await EngineHarness.load(path(), { backend, numThreads, maxModelLen: 64, maxNumSeqs: 2, blockSize: 4 });
      for (const killAt of [1, 9]) {
        let numSteps = 0;
        harness.onStep = () => {
          if (++numSteps === killAt) void harness.workers[victim]!.terminate();
        };
        const settled = await Promise.allSettled(
          PROMPTS.map((prompt) => harness.engine.generate(prompt, OPTIONS).result),
        );
        harness.onStep = undefined;
        const failed = settled.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
        // Two ran; the thread may have died just after its part of the step was done, and then in the next one.
        expect(failed).toHaveLength(2);
        for (const { reason } of failed) expect(reason).toBeInstanceOf(WorkerCrashedError);
        for (const [i, outcome] of settled.entries()) {
          if (outcome.status === 'fulfilled') expect(outcome.value.text).toBe(alone.get(backend)![i]);
        }
        expect(harness.findLeak()).toBeUndefined();
        await expectHealthy(backend);
        expect(harness.workers).toHaveLength(numThreads);
      }
    },
  );

  it('while it samples from whole rows: those requests fail, others of the step do not, and the pool heals', async () => {
    harness = await EngineHarness.load(path(), { backend, numThreads: 2, maxModelLen: 64, blockSize: 4 });
    const wholeRow = { ...OPTIONS, temperature: 0.5, typical_p: 0.5, seed: 1 };
    const generateAll = () =>
      PROMPTS.map((prompt, i) => harness.engine.generate(prompt, i % 2 === 0 ? wholeRow : OPTIONS).result);
    const right = (await Promise.all(generateAll())).map(({ text }) => text);
    // Threads may die after their tasks, and in the next step, and with it all requests; or before, and others do the tasks:
    // again.
    let isAsPromised = false;
    for (let attempt = 0; attempt < 20 && !isAsPromised; attempt++) {
      harness.onSampleRows = () => {
        harness.onSampleRows = undefined;
        for (const worker of harness.workers) void worker.terminate();
      };
      const settled = await Promise.allSettled(generateAll());
      for (const [i, outcome] of settled.entries()) {
        if (outcome.status === 'fulfilled') expect(outcome.value.text).toBe(right[i]);
        else expect(outcome.reason).toBeInstanceOf(WorkerCrashedError);
      }
      expect(harness.findLeak()).toBeUndefined();
      await expectHealthy(backend);
      isAsPromised = settled.every(({ status }, i) => (status === 'rejected') === (i % 2 === 0));
    }
    expect(isAsPromised).toBe(true);
    const again = () => harness.engine.generate(PROMPTS[0]!, wholeRow).result;
    expect((await again()).text).toBe((await again()).text);
  });

  it('at a random moment, again and again: every request ends, right or with that error', async () => {
    harness = await EngineHarness.load(path(), { backend, numThreads: 2, maxModelLen: 64, blockSize: 4 });
    for (let round = 0; round < 5; round++) {
      const streams = PROMPTS.map((prompt) => harness.engine.generate(prompt, OPTIONS));
      await delay(round * 3);
      void harness.workers[round % 2]?.terminate();
      const settled = await Promise.allSettled(streams.map(({ result }) => result));
      for (const [i, outcome] of settled.entries()) {
        if (outcome.status === 'fulfilled') expect(outcome.value.text).toBe(alone.get(backend)![i]);
        else expect(outcome.reason).toBeInstanceOf(WorkerCrashedError);
      }
      expect(harness.findLeak()).toBeUndefined();
    }
    await expectHealthy(backend);
  });

  it('while nothing runs: nobody notices', async () => {
    harness = await EngineHarness.load(path(), { backend, numThreads: 2, maxModelLen: 64 });
    for (let round = 0; round < 2; round++) {
      await expectHealthy(backend);
      await harness.workers[0]!.terminate();
    }
    await expectHealthy(backend);
    await Promise.all(harness.workers.map((worker) => worker.terminate()));
    await expectHealthy(backend);
    expect(harness.workers).toHaveLength(2);
  });

  it.each([1, 2])('while it starts in place of another (%i threads)', async (numThreads) => {
    harness = await EngineHarness.load(path(), { backend, numThreads, maxModelLen: 64 });
    let numSteps = 0;
    harness.onStep = () => {
      // In the first step the one that computes; in the second the new one, for which a part of the step waits.
      if (++numSteps <= 2) void harness.workers.at(-1)?.terminate();
    };
    const streams = PROMPTS.slice(0, 2).map((prompt) => harness.engine.generate(prompt, OPTIONS));
    for (const { result } of streams) expect(await rejection(result)).toBeInstanceOf(WorkerCrashedError);
    const next = harness.engine.generate(PROMPTS[2]!, OPTIONS);
    expect(await rejection(next.result)).toBeInstanceOf(WorkerCrashedError);
    harness.onStep = undefined;
    await expectHealthy(backend);
    expect(harness.workers).toHaveLength(numThreads);
  });

  it('fails scoring and embedding requests with the same error', async () => {
    harness = await EngineHarness.load(path(), { backend, numThreads: 2, maxModelLen: 64, maxWaitMs: 0 });
    const before = await harness.engine.score(PROMPTS[0]!);
    harness.onStep = () => {
      harness.onStep = undefined;
      void harness.workers[0]!.terminate();
    };
    expect(await rejection(harness.engine.score(PROMPTS[0]!))).toBeInstanceOf(WorkerCrashedError);
    expect((await harness.engine.score(PROMPTS[0]!)).logprobs).toEqual(before.logprobs);
  });
});

describe.each(backends)('the calling thread (%s)', (backend) => {
  it('never passes over a whole row of logits, whatever the sampling options', async () => {
    const passes = vi.spyOn(Sampler.prototype, 'sample');
    const options: GenerateOptions[] = [
      { temperature: 0 },
      { temperature: 0, repetition_penalty: 1.2, logprobs: 2 },
      {},
      { temperature: 0.7, logprobs: 2 },
      { top_k: 5 },
      { top_p: 0.9 },
      { min_p: 0.1, logit_bias: { 3: -100 } },
      { typical_p: 0.9 },
      { top_n_sigma: 1 },
      { xtc_probability: 0.5 },
    ];
    const run = async (numThreads: number) => {
      harness = await EngineHarness.load(path(), { backend, numThreads, maxModelLen: 64 });
      const streams = options.map((own, seed) => harness.engine.generate([1, 2, 3], { ...own, seed, max_tokens: 20 }));
      const results = await Promise.all(streams.map(({ result }) => result));
      return results.map(({ choices }) => choices);
    };
    const onWorkers = await run(2);
    expect(passes).not.toHaveBeenCalled();
    expect(await harness.close()).toBeUndefined();
    // The same, to the last bit of the log-probabilities, on this thread.
    expect(await run(0)).toEqual(onWorkers);
    expect(passes).toHaveBeenCalled();
    passes.mockRestore();
  });
});

describe('close', () => {
  it.each([0, 2])(
    'during a step (%i threads): all requests end with EngineClosedError, and again at once',
    async (numThreads) => {
      harness = await EngineHarness.load(path(), { numThreads, maxModelLen: 64, maxNumSeqs: 2, maxWaitMs: 50 });
      const held = holdNextStep(harness);
      const requests: Promise<unknown>[] = PROMPTS.map((prompt) => harness.engine.generate(prompt, OPTIONS).result);
      // Two in a batch that is collected.
      requests.push(harness.engine.score([1, 2, 3]), harness.engine.embed([1, 2, 3]));
      await held.reached;
      const closed = harness.engine.close();
      expect(harness.engine.close()).toBe(closed);
      for (const request of requests) expect(await rejection(request)).toBeInstanceOf(EngineClosedError);
      // The step still writes: its memory must not go before it ends.
      expect(harness.backend.memoryUsage().kv).toBeGreaterThan(0);
      held.release();
      await closed;
      await harness.engine[Symbol.asyncDispose]();
      expect(harness.findLeak()).toBeUndefined();
    },
  );

  it('refuses what comes later, and still answers what needs no model', async () => {
    harness = await EngineHarness.load(path(), { numThreads: 1, maxModelLen: 64 });
    await harness.close();
    const stream = harness.engine.generate([1]);
    expect(await rejection(stream.result)).toBeInstanceOf(EngineClosedError);
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toThrow(EngineClosedError);
    expect(await rejection(harness.engine.score([1, 2]))).toBeInstanceOf(EngineClosedError);
    expect(await rejection(harness.engine.embed([1, 2]))).toBeInstanceOf(EngineClosedError);
    expect(harness.engine.stats()).toMatchObject({ numQueued: 0, numRunning: 0, kvCache: { numUsedBlocks: 0 } });
    expect(harness.engine.detokenize(harness.engine.tokenize('abc'))).toBe('abc');
  });

  it('while a worker dies', async () => {
    harness = await EngineHarness.load(path(), { numThreads: 2, maxModelLen: 64 });
    const held = holdNextStep(harness);
    const stream = harness.engine.generate(PROMPTS[0]!, OPTIONS);
    await held.reached;
    void harness.workers[0]!.terminate();
    const closed = harness.engine.close();
    held.release();
    await closed;
    expect(await rejection(stream.result)).toBeInstanceOf(EngineClosedError);
  });
});
