/** Readers that are slow, absent or gone, and requests that are refused: what each is promised, and that nobody else
 * notices. On worker threads, as in a service. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  AbortError,
  ContextLengthError,
  InvalidArgumentError,
  NonFiniteLogitsError,
  QueueFullError,
} from '../../engine/errors.ts';
import type { GenerateOptions } from '../../engine/requests/generate-options.ts';
import { EngineHarness } from '../helpers/engine-harness.ts';
import { rejection } from '../helpers/rejection.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { TINY, TINY_BOS, TINY_VOCAB_SIZE, writeTinyModel } from '../helpers/tiny-models.ts';

const folder = useTemporaryFolder();
/** Enough to be in the middle of something for a while. */
const LONG: GenerateOptions = { max_tokens: 200, ignore_eos: true, temperature: 0 };
let harness: EngineHarness;
/** The text of a LONG request on 'abc'. */
let expectedText: string;

beforeAll(async () => {
  await writeTinyModel(folder.at('tiny.gguf'));
  harness = await EngineHarness.load(folder.at('tiny.gguf'), {
    numThreads: 2,
    maxModelLen: 256,
    maxNumQueuedRequests: 100,
    maxWaitMs: 0,
  });
  expectedText = (await harness.engine.generate('abc', LONG).result).text;
});

afterAll(async () => expect(await harness.close()).toBeUndefined());

describe('a reader', () => {
  it('who is slow holds no blocks, and gets everything', async () => {
    const stream = harness.engine.generate('abc', LONG);
    const chunks = stream[Symbol.asyncIterator]();
    let text = (await chunks.next()).value!.text;
    await stream.result;
    expect(harness.findLeak()).toBeUndefined();
    for await (const chunk of { [Symbol.asyncIterator]: () => chunks }) text += chunk.text;
    expect(text).toBe(expectedText);
  });

  it('who never comes costs nothing but the text', async () => {
    const stream = harness.engine.generate('abc', LONG);
    expect((await stream.result).text).toBe(expectedText);
    expect(harness.findLeak()).toBeUndefined();
  });

  it('who leaves the loop aborts the request, and no other', async () => {
    const other = harness.engine.generate('abc', LONG);
    const stream = harness.engine.generate('xyz', LONG);
    for await (const { text } of stream) if (text !== '') break;
    expect(await rejection(stream.result)).toBeInstanceOf(AbortError);
    expect(harness.engine.stats().numRunning).toBe(1);
    expect((await other.result).text).toBe(expectedText);
    expect(harness.findLeak()).toBeUndefined();
  });

  it('who cancels a web stream aborts the request', async () => {
    const stream = harness.engine.generate('abc', LONG);
    const reader = stream.toReadableStream().getReader();
    expect((await reader.read()).done).toBe(false);
    await reader.cancel();
    expect(await rejection(stream.result)).toBeInstanceOf(AbortError);
    expect(harness.findLeak()).toBeUndefined();
  });

  it('may be two: they share the text, and both see the end', async () => {
    const stream = harness.engine.generate('abc', LONG);
    let text = '';
    const read = async (): Promise<void> => {
      for await (const chunk of stream) text += chunk.text;
    };
    await Promise.all([read(), read()]);
    expect(text).toBe(expectedText);
  });
});

describe('a request that cannot be is refused', () => {
  it.each<[string, string | number[], GenerateOptions]>([
    ['an empty list of tokens', [], {}],
    ['a token beyond the vocabulary', [1, TINY_VOCAB_SIZE], {}],
    ['a negative token', [-1], {}],
    ['a token that is no whole number', [1.5], {}],
    ['a token that is not a number', ['1' as unknown as number], {}],
    ['an empty text without the model\u2019s own tokens', '', { addSpecial: false }],
    ['no prompt', undefined as unknown as string, {}],
    ['a deadline that has passed', 'abc', { deadlineMs: -1 }],
    ['a priority that is none', 'abc', { priority: 0.5 }],
    ['an unknown option', 'abc', { temprature: 1 } as GenerateOptions],
    ['a bias on a token that does not exist', 'abc', { logit_bias: { [TINY_VOCAB_SIZE]: 1 } }],
  ])('at once: %s', (_, prompt, options) => {
    expect(() => harness.engine.generate(prompt, options)).toThrow(InvalidArgumentError);
    expect(harness.findLeak()).toBeUndefined();
  });

  it.each<[string, number[], GenerateOptions]>([
    ['a prompt that leaves no room for a token', Array.from({ length: 256 }, () => 7), {}],
    ['a prompt beyond the context', Array.from({ length: 300 }, () => 7), {}],
    ['more tokens than fit behind the prompt', [7], { max_tokens: 256 }],
  ])('by the stream: %s', async (_, prompt, options) => {
    const stream = harness.engine.generate(prompt, options);
    expect(await rejection(stream.result)).toBeInstanceOf(ContextLengthError);
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toThrow(/of 256/);
  });

  it('but the longest that fits is served, to the last place', async () => {
    const prompt = Array.from({ length: 255 }, () => 7);
    const { choices } = await harness.engine.generate(prompt, { ignore_eos: true }).result;
    expect(choices[0]).toMatchObject({ finishReason: 'length' });
    expect(choices[0]!.tokenIds).toHaveLength(1);
    const whole = await harness.engine.generate([7], { ignore_eos: true, max_tokens: 255 }).result;
    expect(whole.usage.numGeneratedTokens).toBe(255);
    const { logprobs } = await harness.engine.score([...prompt, 7]);
    expect(logprobs).toHaveLength(255);
    // Of a text that is scored the last token is not computed, so one more fits.
    expect((await harness.engine.score([...prompt, 7, 7])).logprobs).toHaveLength(256);
    expect(await rejection(harness.engine.score([...prompt, 7, 7, 7]))).toBeInstanceOf(ContextLengthError);
  });

  it('an empty text starts from the model\u2019s own first token', async () => {
    const { usage } = await harness.engine.generate('', { max_tokens: 1 }).result;
    expect(usage.numPromptTokens).toBe(1);
    expect([...harness.engine.tokenize('')]).toEqual([TINY_BOS]);
  });
});

describe('1,000 requests into a queue of 100', () => {
  it('100 are served as if alone, 900 are told that the queue is full', async () => {
    const options: GenerateOptions = { max_tokens: 8, temperature: 0, ignore_eos: true };
    const expected = new Map<number, string>();
    for (let kind = 0; kind < 10; kind++) {
      expected.set(kind, (await harness.engine.generate([kind, 3, kind], options).result).text);
    }
    const streams = Array.from({ length: 1000 }, (_, i) => harness.engine.generate([i % 10, 3, i % 10], options));
    const settled = await Promise.allSettled(streams.map(({ result }) => result));
    let numServed = 0;
    for (const [i, outcome] of settled.entries()) {
      if (outcome.status === 'rejected') {
        expect(outcome.reason).toBeInstanceOf(QueueFullError);
        continue;
      }
      numServed++;
      expect(outcome.value.text).toBe(expected.get(i % 10));
    }
    expect(numServed).toBe(100);
    expect(harness.findLeak()).toBeUndefined();
    // And the queue has room again.
    await harness.engine.generate([1, 2], options).result;
  });

  it('scoring requests beyond the queue are refused one by one, not by the batch', async () => {
    const small = await EngineHarness.load(folder.at('tiny.gguf'), {
      maxModelLen: 64,
      maxNumQueuedRequests: 5,
      maxBatchSize: 8,
      maxWaitMs: 1,
    });
    const settled = await Promise.allSettled(Array.from({ length: 8 }, (_, i) => small.engine.score([i, 1, 2])));
    const refused = settled.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    expect(refused).toHaveLength(3);
    for (const { reason } of refused) expect(reason).toBeInstanceOf(QueueFullError);
    expect(await small.close()).toBeUndefined();
  });
});

describe('choices', () => {
  it('each stops by itself and has random numbers of its own; a seed repeats all of them', async () => {
    const options: GenerateOptions = { max_tokens: 60, temperature: 1, n: 6, seed: 5, stop: [...'aeiou'] };
    const { choices, usage, seed } = await harness.engine.generate('abc', options).result;
    expect(seed).toBe(5);
    expect(new Set(choices.map(({ text }) => text)).size).toBeGreaterThan(3);
    expect(choices.some(({ stopReason }) => stopReason !== undefined)).toBe(true);
    for (const { text } of choices) expect(text).not.toMatch(/[aeiou]/);
    expect(usage.numGeneratedTokens).toBe(choices.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0));
    expect((await harness.engine.generate('abc', options).result).choices).toEqual(choices);
  });

  it('come in chunks that add up to them', async () => {
    const stream = harness.engine.generate('abc', { max_tokens: 30, n: 3, seed: 1, logprobs: 2, stop: 'e' });
    const sums = [0, 1, 2].map(() => ({ text: '', tokenIds: [] as number[], numLogprobs: 0, ends: [] as string[] }));
    for await (const { index, text, tokenIds, logprobs = [], finishReason } of stream) {
      const sum = sums[index]!;
      sum.text += text;
      sum.tokenIds.push(...tokenIds);
      sum.numLogprobs += logprobs.length;
      if (finishReason !== undefined) sum.ends.push(finishReason);
    }
    const { choices } = await stream.result;
    expect(sums).toEqual(
      choices.map(({ text, tokenIds, finishReason }) => ({
        text,
        tokenIds,
        numLogprobs: tokenIds.length,
        ends: [finishReason],
      })),
    );
  });
});

describe('a model that is broken in one place', () => {
  it('fails the requests that touch it with NonFiniteLogitsError, and no other of the same batch', async () => {
    const nanToken = 40;
    await writeTinyModel(folder.at('nan.gguf'), { ...TINY, nanToken });
    const broken = await EngineHarness.load(folder.at('nan.gguf'), { numThreads: 2, maxModelLen: 64, blockSize: 4 });
    const options: GenerateOptions = { max_tokens: 12, temperature: 0, logit_bias: { [nanToken]: -100 } };
    const healthy = [...Array(6).keys()].map((i) => [i, i + 1, i + 2, i + 3, i + 4]);
    const alone: string[] = [];
    for (const prompt of healthy) alone.push((await broken.engine.generate(prompt, options).result).text);
    for (let round = 0; round < 2; round++) {
      // Second round: the blocks that held NaN are used again.
      const streams = healthy.flatMap((prompt) => [
        broken.engine.generate(prompt, options),
        broken.engine.generate([...prompt, nanToken, round], options),
      ]);
      const settled = await Promise.allSettled(streams.map(({ result }) => result));
      const [good, bad] = [0, 1].map((parity) => settled.filter((_, i) => i % 2 === parity));
      expect(good!.map((outcome) => outcome.status === 'fulfilled' && outcome.value.text)).toEqual(alone);
      for (const outcome of bad!) {
        expect(outcome.status === 'rejected' && outcome.reason).toBeInstanceOf(NonFiniteLogitsError);
      }
      expect(broken.findLeak()).toBeUndefined();
    }
    expect(await broken.close()).toBeUndefined();
  });
});
