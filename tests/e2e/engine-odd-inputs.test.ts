/** What nobody should send, and somebody will: each gets a clear error or a right answer, at once, and the engine is as it
 * was. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AbortError, ContextLengthError, InvalidArgumentError, RequestTimeoutError } from '../../engine/errors.ts';
import type { ChatOptions, GenerateOptions } from '../../engine/requests/generate-options.ts';
import type { EmbedOptions } from '../../engine/requests/prompt-service.ts';
import type { RequestOptions } from '../../engine/requests/request-options.ts';
import { EngineHarness, holdNextStep } from '../helpers/engine-harness.ts';
import { rejection } from '../helpers/rejection.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { TINY, TINY_BOS, writeTinyModel } from '../helpers/tiny-models.ts';

const folder = useTemporaryFolder();
const MAX_MODEL_LEN = 64;
const SHORT: GenerateOptions = { max_tokens: 3, temperature: 0, ignore_eos: true };
let harness: EngineHarness;

beforeAll(async () => {
  await writeTinyModel(folder.at('tiny.gguf'), TINY);
  harness = await EngineHarness.load(folder.at('tiny.gguf'), { maxModelLen: MAX_MODEL_LEN, maxWaitMs: 0 });
});
afterAll(async () => expect(await harness.close()).toBeUndefined());
beforeEach(() => {
  expect(harness.findLeak()).toBeUndefined();
});

/** Every way to send a request, each giving a promise that settles with its end. */
const METHODS: readonly (readonly [string, (options: object) => Promise<unknown>])[] = [
  ['generate', async (options) => harness.engine.generate('abc', { ...SHORT, ...options }).result],
  ['chat', async (options) => harness.engine.chat([{ role: 'user', content: 'abc' }], { ...SHORT, ...options }).result],
  ['score', async (options) => harness.engine.score('abc', options)],
  ['embed', async (options) => harness.engine.embed('abc', options)],
];

describe.each(METHODS)('%s', (_, send) => {
  it.each<[string, object, RegExp]>([
    ['an unknown option', { priorty: 1 }, /unknown option "priorty"; did you mean priority\?/],
    ['a signal that is none', { signal: {} }, /^signal: must be an AbortSignal/],
    ['a controller for a signal', { signal: new AbortController() }, /^signal: must be an AbortSignal/],
    ['a deadline of 0', { deadlineMs: 0 }, /^deadlineMs: must be a number above 0, got 0/],
    ['a negative deadline', { deadlineMs: -1 }, /^deadlineMs/],
    ['a deadline that is NaN', { deadlineMs: Number.NaN }, /^deadlineMs/],
    ['a deadline of -Infinity', { deadlineMs: Number.NEGATIVE_INFINITY }, /^deadlineMs/],
    ['a deadline in words', { deadlineMs: '5' }, /^deadlineMs: must be a number above 0, got "5"/],
    ['a salt that is no text', { cacheSalt: 5 }, /^cacheSalt: must be a string/],
    ['a priority between two', { priority: 0.5 }, /^priority: must be a whole number/],
    ['a priority out of range', { priority: 1e7 }, /^priority/],
  ])('refuses %s', async (_what, options, message) => {
    const error = await rejection(send(options));
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect((error as Error).message).toMatch(message);
  });

  it('takes an endless deadline for none, and null for an option that was left out', async () => {
    await send({ deadlineMs: Number.POSITIVE_INFINITY, priority: null, cacheSalt: null, signal: null });
    await send({ deadlineMs: Number.MAX_VALUE });
  });

  it('fails with AbortError for a signal that has fired already', async () => {
    const error = await rejection(send({ signal: AbortSignal.abort('too late') }));
    expect(error).toBeInstanceOf(AbortError);
    expect(error).toMatchObject({ cause: 'too late' });
  });

  it('fails with what a getter throws', async () => {
    const mine = new Error('not today');
    const options = Object.defineProperty({}, 'priority', {
      enumerable: true,
      get: () => {
        throw mine;
      },
    });
    expect(await rejection(send(options))).toBe(mine);
  });
});

describe('generate', () => {
  it.each<[string, unknown, RegExp]>([
    ['too many stop strings', { stop: new Array(1_000_000).fill('x') }, /^stop: must be at most 1024 strings/],
    ['stop strings that are too long', { stop: ['x'.repeat(70_000)] }, /^stop: must have at most 65536 characters/],
    ['half a character to stop at', { stop: '\ud800' }, /^stop: holds half a character/],
    ['a bias that is NaN', { logit_bias: { 5: Number.NaN } }, /^logit_bias\[5\]/],
    ['a bias on no token', { logit_bias: { x: 1 } }, /^logit_bias: keys must be token ids/],
    ['no options', null, /^generate options: must be an object, got null/],
    ['a number for options', 5, /^generate options/],
  ])('refuses %s', (_, options, message) => {
    expect(() => harness.engine.generate('abc', options as GenerateOptions)).toThrow(InvalidArgumentError);
    expect(() => harness.engine.generate('abc', options as GenerateOptions)).toThrow(message);
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a number', 5],
    ['a function', () => 'abc'],
    ['an object without a length', {}],
    ['a length that is NaN', { length: Number.NaN }],
    ['a negative length', { length: -1 }],
    ['a length in words', { length: '3' }],
    ['big integers', BigInt64Array.of(1n, 2n)],
    ['holes', new Array(3)],
  ])('refuses %s for a prompt', (_, prompt) => {
    expect(() => harness.engine.generate(prompt as string)).toThrow(InvalidArgumentError);
    expect(() => harness.engine.generate(prompt as string)).toThrow(/^prompt: /);
  });

  it('knows that a prompt is too long before it looks at its tokens', async () => {
    const { result } = harness.engine.generate({ length: 2 ** 52 } as ArrayLike<number>);
    expect(await rejection(result)).toBeInstanceOf(ContextLengthError);
  });

  it('reads half a character as it reads the replacement character', async () => {
    const [half, replaced] = ['a\ud800b', 'a\ufffdb'].map((text) => harness.engine.generate(text, SHORT).result);
    expect((await half!).choices).toEqual((await replaced!).choices);
  });

  it('does not care what becomes of the list of tokens afterwards', async () => {
    const prompt = [TINY_BOS, 5, 6];
    const expected = (await harness.engine.generate(prompt, SHORT).result).choices;
    const stream = harness.engine.generate(prompt, { ...SHORT, n: 2 });
    prompt.fill(-1);
    expect((await stream.result).choices[1]!.tokenIds).toEqual(expected[0]!.tokenIds);
  });

  it('serves a request of more choices than may wait, when nobody waits', async () => {
    const small = await EngineHarness.load(folder.at('tiny.gguf'), {
      maxModelLen: MAX_MODEL_LEN,
      maxNumSeqs: 2,
      maxNumQueuedRequests: 1,
      maxNumQueuedTokens: 1,
    });
    const { choices } = await small.engine.generate('abc', { ...SHORT, n: 5 }).result;
    expect(choices).toHaveLength(5);
    expect(await small.close()).toBeUndefined();
  });
});

it('chat refuses options that are for texts, and those that are for nothing', () => {
  const chat = (options: object) => () => harness.engine.chat([{ role: 'user', content: 'a' }], options as ChatOptions);
  expect(chat({ parseSpecial: true })).toThrow(/unknown option "parseSpecial"/);
  expect(chat({ addGenerationPromt: true })).toThrow(/did you mean addGenerationPrompt\?/);
  expect(chat({ addGenerationPrompt: 'no' })).toThrow(/^addGenerationPrompt: must be a boolean/);
  expect(chat({ variables: 5 })).toThrow(/^variables: must be an object/);
  expect(chat({ tools: {} })).toThrow(/^tools: must be an array/);
});

it('embed refuses a pooling that it does not know, and a flag that is none', async () => {
  for (const options of [{ pooling: 'max' }, { normalize: 1 }, { pool: 'mean' }, null]) {
    const error = await rejection(harness.engine.embed('abc', options as unknown as EmbedOptions));
    expect(error).toBeInstanceOf(InvalidArgumentError);
  }
});

it('what needs no model refuses what makes no sense, too', async () => {
  const { engine } = harness;
  expect(() => engine.detokenize(5 as unknown as number[])).toThrow(InvalidArgumentError);
  expect(() => engine.detokenize([1, Number.NaN])).toThrow(InvalidArgumentError);
  expect(() => engine.tokenize(5 as unknown as string)).toThrow(InvalidArgumentError);
  const path = folder.at('prompts.cache');
  for (const promise of [
    engine.savePromptCache(undefined as unknown as string),
    engine.savePromptCache(path, null as unknown as object),
    engine.savePromptCache(path, { maxByte: 5 } as object),
    engine.restorePromptCache(undefined as unknown as string),
    engine.restorePromptCache(path, { signal: {} as AbortSignal }),
  ]) {
    expect(await rejection(promise)).toBeInstanceOf(InvalidArgumentError);
  }
});

describe('a score', () => {
  const longest = Array.from({ length: MAX_MODEL_LEN + 1 }, (_, i) => i % 200);

  it('may have one token more than the context: the last is never computed', async () => {
    const { tokenIds, logprobs } = await harness.engine.score(longest);
    expect(tokenIds).toEqual(longest);
    expect(logprobs).toHaveLength(MAX_MODEL_LEN);
    const shorter = await harness.engine.score(longest.slice(0, -1));
    expect(logprobs.slice(0, -1)).toEqual(shorter.logprobs);
    expect(await rejection(harness.engine.score([...longest, 1]))).toBeInstanceOf(ContextLengthError);
    expect(await rejection(harness.engine.embed(longest))).toBeInstanceOf(ContextLengthError);
  });

  it('computes a text without its last token', async () => {
    const numSteps = harness.stepSizes.length;
    await harness.engine.score([1, 2, 3, 4, 5]);
    expect(harness.stepSizes.slice(numSteps)).toEqual([4]);
  });
});

describe('statistics', () => {
  it.each(['score', 'embed'] as const)('count how requests to %s ended, in a step or before', async (method) => {
    const own = await EngineHarness.load(folder.at('tiny.gguf'), { maxModelLen: MAX_MODEL_LEN, maxWaitMs: 10_000 });
    const send = (options: RequestOptions) => own.engine[method]('abc', options);
    // While they wait for their batch.
    const controller = new AbortController();
    const collected = [send({ deadlineMs: 1 }), send({ signal: controller.signal })];
    expect(own.engine.stats().numQueued).toBe(2);
    expect(await rejection(collected[0]!)).toBeInstanceOf(RequestTimeoutError);
    controller.abort();
    expect(await rejection(collected[1]!)).toBeInstanceOf(AbortError);
    expect(own.engine.stats()).toMatchObject({ numQueued: 0, numTimedOut: 1, numAborted: 1, numFinished: 0 });
    expect(await own.close()).toBeUndefined();

    const quick = await EngineHarness.load(folder.at('tiny.gguf'), { maxModelLen: MAX_MODEL_LEN, maxWaitMs: 0 });
    const held = holdNextStep(quick);
    const late = quick.engine[method]('abc', { deadlineMs: 50 });
    await held.reached;
    const error = await rejection(late);
    held.release();
    expect(error).toBeInstanceOf(RequestTimeoutError);
    expect((error as Error).message).toMatch(/50 ms while running/);
    await quick.engine[method]('abc');
    expect(quick.engine.stats()).toMatchObject({ numTimedOut: 1, numAborted: 0, numFinished: 1 });
    expect(await quick.close()).toBeUndefined();
  });
});
