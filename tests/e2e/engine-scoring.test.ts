/** Scores and embeddings: the same bits alone, in a batch and in chunks of any size, and equal to what generation and
 * PyTorch say. */
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { Engine } from '../../engine/engine.ts';
import { AbortError, InvalidArgumentError } from '../../engine/errors.ts';
import type { EmbedOptions } from '../../engine/requests/prompt-service.ts';
import { cpuBackends, EngineHarness, holdNextStep } from '../helpers/engine-harness.ts';
import { fixturePath, hasFixtures, readJson, sharedModelPath, skipNote } from '../helpers/fixtures.ts';
import { rejection } from '../helpers/rejection.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { TINY, TINY_VOCAB_SIZE, writeTinyModel } from '../helpers/tiny-models.ts';

const folder = useTemporaryFolder();
const [backend = 'reference'] = await cpuBackends();
const path = (): string => folder.at('tiny.gguf');

beforeAll(() => writeTinyModel(path(), { ...TINY, slidingWindow: 20 }));

describe('a batch', () => {
  const prompts = fc.array(fc.array(fc.nat(TINY_VOCAB_SIZE - 1), { minLength: 1, maxLength: 40, size: 'max' }), {
    minLength: 1,
    maxLength: 8,
    size: 'max',
  });
  const embedOptions = fc.record<EmbedOptions>({
    pooling: fc.constantFrom('mean', 'last'),
    normalize: fc.boolean(),
  });
  let alone: EngineHarness;

  beforeAll(async () => {
    alone = await EngineHarness.load(path(), { maxModelLen: 64, maxNumSeqs: 1, maxPrefillChunk: 64, maxWaitMs: 0 });
  });
  afterAll(async () => expect(await alone.close()).toBeUndefined());

  // More logits are wanted than there are rows for: they are computed in rounds.
  it.each([
    { maxNumSeqs: 8, maxPrefillChunk: 1, maxNumBatchedTokens: 8 },
    { maxNumSeqs: 2, maxPrefillChunk: 13, maxNumBatchedTokens: 20 },
    { maxNumSeqs: 5, maxPrefillChunk: 64, maxNumBatchedTokens: 512 },
  ])('gives the bits that each gets alone, with %o', async (options) => {
    const harness = await EngineHarness.load(path(), {
      ...options,
      maxModelLen: 64,
      blockSize: 4,
      maxBatchSize: 8,
      maxWaitMs: 1,
    });
    await fc.assert(
      fc.asyncProperty(prompts, embedOptions, async (texts, how) => {
        const scores = texts.map((text) => harness.engine.score(text));
        const embeddings = texts.map((text) => harness.engine.embed(text, how));
        for (const [i, text] of texts.entries()) {
          expect(await scores[i]).toEqual(await alone.engine.score(text));
          expect(await embeddings[i]).toEqual(await alone.engine.embed(text, how));
        }
      }),
      { numRuns: Math.round(fc.readConfigureGlobal().numRuns! * 0.05) },
    );
    expect(await harness.close()).toBeUndefined();
  });

  // The rows that an aborted request asked for are still among the step's results.
  it('gives them also when one of it is aborted in the middle of a step', async () => {
    const harness = await EngineHarness.load(path(), { maxModelLen: 64, maxBatchSize: 4, maxWaitMs: 1000 });
    const texts = [0, 1, 2, 3].map((first) => Array.from({ length: 10 }, (_, i) => first + i));
    for (const kind of ['score', 'embed'] as const) {
      const controller = new AbortController();
      const held = holdNextStep(harness);
      const results = texts.map((text, i) => harness.engine[kind](text, i === 1 ? { signal: controller.signal } : {}));
      await held.reached;
      controller.abort();
      held.release();
      expect(await rejection(results[1]!)).toBeInstanceOf(AbortError);
      for (const i of [0, 2, 3]) expect(await results[i]).toEqual(await alone.engine[kind](texts[i]!));
    }
    expect(await harness.close()).toBeUndefined();
  });

  it('of one token has no score and is its own embedding', async () => {
    expect(await alone.engine.score([5])).toEqual({
      tokenIds: [5],
      logprobs: [],
      sumLogprob: 0,
      perplexity: Number.NaN,
    });
    const [mean, last] = await Promise.all(
      (['mean', 'last'] as const).map((pooling) => alone.engine.embed([5], { pooling })),
    );
    expect(mean).toEqual(last);
    expect(Math.hypot(...mean!.vector)).toBeCloseTo(1, 6);
  });

  it('refuses what can never be', async () => {
    expect(await rejection(alone.engine.embed([1], { pooling: 'max' as 'mean' }))).toBeInstanceOf(InvalidArgumentError);
    expect(await rejection(alone.engine.score([]))).toBeInstanceOf(InvalidArgumentError);
    expect(await rejection(alone.engine.score([TINY_VOCAB_SIZE]))).toBeInstanceOf(InvalidArgumentError);
    expect(await rejection(alone.engine.score([1, 2], { deadlineMs: 0 }))).toBeInstanceOf(InvalidArgumentError);
  });
});

describe('log-probabilities', () => {
  it('of generated tokens are those that scoring gives the same text', async () => {
    const engine = await Engine.load(path(), { backend, numThreads: 1, maxModelLen: 128, maxWaitMs: 0 });
    const prompt = [1, 2, 3, 4];
    for (const temperature of [0, 1]) {
      const { choices } = await engine.generate(prompt, { max_tokens: 40, temperature, seed: 3, logprobs: 3 }).result;
      const { tokenIds, logprobs } = choices[0]!;
      const scored = await engine.score([...prompt, ...tokenIds]);
      expect(logprobs).toHaveLength(tokenIds.length);
      for (const [i, { tokenId, logprob, top }] of logprobs!.entries()) {
        expect(tokenId).toBe(tokenIds[i]);
        expect(Math.abs(logprob - scored.logprobs[prompt.length - 1 + i]!)).toBeLessThan(1e-5);
        expect(top).toHaveLength(3);
        expect(top[0]!.logprob).toBeGreaterThanOrEqual(logprob);
        if (temperature === 0) expect(top[0]!.tokenId).toBe(tokenId);
      }
    }
    await engine.close();
  });
});

/** `valid` in tests/golden/story-4m.json is PyTorch's: negative log-likelihoods over a window of 512 inputs, the first of
 * which is BOS, each predicting the next token; the last one predicts a 513th, for which the model has no place and needs
 * none. Written with five digits after the point. */
describe.skipIf(!hasFixtures)(`the first 513 tokens of held-out text${skipNote}`, () => {
  interface Golden {
    readonly valid: {
      readonly window: number;
      readonly first_window_nll: number[];
      readonly first_window_loss: number;
    };
  }
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

  it.each([
    // Weights are exact in f16; what is left is the rounding of float32 sums and of the golden's digits.
    ['F16', () => sharedModelPath('story-4m-f16.gguf'), 1e-4, 1e-5],
    // Seen: 0.065 for one token, 0.001 for the mean.
    ['Q8_0, the bundled file', () => bundledModelPath('story'), 0.15, 0.005],
  ])('%s: as likely as PyTorch says, token by token', async (_, model, tolerance, meanTolerance) => {
    const { valid } = await readJson<Golden>(new URL('../golden/story-4m.json', import.meta.url).pathname);
    expect(mean(valid.first_window_nll)).toBeCloseTo(valid.first_window_loss, 5);
    const text = await readFile(fixturePath('text/story-valid.txt'), 'utf8');
    const engine = await Engine.load(model(), { backend, numThreads: 2, maxWaitMs: 0 });
    const tokenIds = engine.tokenize(text.slice(0, 8 * valid.window)).slice(0, valid.window + 1);
    const { logprobs, perplexity } = await engine.score(tokenIds);
    const expected = valid.first_window_nll;
    expect(logprobs).toHaveLength(expected.length);
    for (const [i, logprob] of logprobs.entries()) expect(Math.abs(-logprob - expected[i]!)).toBeLessThan(tolerance);
    expect(Math.abs(Math.log(perplexity) - mean(expected))).toBeLessThan(meanTolerance);
    await engine.close();
  });
});
