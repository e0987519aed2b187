/** The figures of `quern bench` on an engine whose every step takes as long as the test says. */
import { describe, expect, it } from 'vitest';
import type { BenchTest } from '../../../cli/bench/bench-test.ts';
import { measureTest, prepareTest, type TestBench } from '../../../cli/bench/measure-test.ts';
import { SequenceTimes } from '../../../cli/bench/sequence-times.ts';
import type { Sequence } from '../../../engine/scheduler/sequence.ts';

interface Request {
  readonly prompt: readonly number[];
  readonly options: Readonly<Record<string, unknown>>;
}

/** Prompts take 1000 ms, each token after the first 10 ms. The second sequence's first token comes `lateMs` later. */
function fakeBench({ cached = 0, preempts = false, lateMs = 0 } = {}): TestBench & { readonly requests: Request[] } {
  const times = new SequenceTimes();
  const requests: Request[] = [];
  let numPreemptions = 0;
  const tell = (event: 'queued' | 'firstToken' | 'finished', atMs: number): void =>
    times.listener(event, undefined as unknown as Sequence, atMs);
  const engine = {
    config: { vocabSize: 50 },
    stats: () => ({ numPreemptions }),
    generate(prompt: readonly number[], options: { readonly max_tokens: number }) {
      requests.push({ prompt, options });
      const firstMs = 5000 + 1000 + (requests.length > 1 ? lateMs : 0);
      tell('queued', 5000);
      tell('firstToken', firstMs);
      tell('finished', firstMs + 10 * (options.max_tokens - 1));
      if (preempts) numPreemptions++;
      return { result: Promise.resolve({ usage: { numCachedTokens: cached } }) };
    },
  };
  return { engine: engine as unknown as TestBench['engine'], times, signal: new AbortController().signal, requests };
}

const PP: BenchTest = { kind: 'pp', numTokens: 64, batch: 1, depth: 0 };
const TG: BenchTest = { kind: 'tg', numTokens: 8, batch: 2, depth: 0 };

describe('measureTest', () => {
  it('pp: prompt tokens over the time to the first token', async () => {
    const bench = fakeBench();
    expect(await measureTest(bench, PP, 0)).toBe(64);
    const [request] = bench.requests;
    expect(request!.prompt).toHaveLength(64);
    expect(request!.options).toMatchObject({ max_tokens: 1, temperature: 0, ignore_eos: true });
  });

  it('tg: tokens of all sequences over the time after their first ones', async () => {
    const bench = fakeBench();
    expect(await measureTest(bench, TG, 0)).toBe((2 * 8) / 0.08);
    expect(bench.requests.map(({ prompt }) => prompt.length)).toEqual([1, 1]);
    expect(bench.requests[0]!.options).toMatchObject({ max_tokens: 9 });
  });

  it('the same prompts at every run, others at every repetition, all of them tokens', async () => {
    const promptsOf = async (repetition: number) => {
      const bench = fakeBench();
      await measureTest(bench, PP, repetition);
      return bench.requests.map(({ prompt }) => prompt);
    };
    expect(await promptsOf(0)).toEqual(await promptsOf(0));
    expect(await promptsOf(0)).not.toEqual(await promptsOf(1));
    expect((await promptsOf(-1)).flat().every((id) => Number.isInteger(id) && id >= 0 && id < 50)).toBe(true);
  });

  it('prompts at a depth begin with what was put into the cache', async () => {
    const bench = fakeBench({ cached: 32 });
    const test = { ...TG, depth: 32 };
    await prepareTest(bench, test);
    await measureTest(bench, test, 0);
    const prompts = bench.requests.map(({ prompt }) => prompt);
    expect(prompts.map((prompt) => prompt.length)).toEqual([32, 32, 33, 33]);
    expect(prompts[2]!.slice(0, 32)).toEqual(prompts[0]);
    expect(prompts[3]!.slice(0, 32)).toEqual(prompts[1]);
    expect(prompts[0]).not.toEqual(prompts[1]);
  });

  it('gives no figure for other work than the test names', async () => {
    await expect(measureTest(fakeBench({ cached: 16 }), PP, 0)).rejects.toThrow('gave 16 tokens instead of 0');
    await expect(measureTest(fakeBench({ preempts: true }), PP, 0)).rejects.toThrow('preempted');
    await expect(measureTest(fakeBench({ lateMs: 1 }), TG, 0)).rejects.toThrow('same step');
  });
});
