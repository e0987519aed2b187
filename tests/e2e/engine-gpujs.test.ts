/** The engine on kernels that gpu.js compiled: the same greedy tokens as the reference. */
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { Engine } from '../../engine/engine.ts';
import { fixturePath, hasFixtures, readJson, skipNote } from '../helpers/fixtures.ts';
import { gpuSkipNote, hasGpu } from '../helpers/gpu.ts';

const NUM_TOKENS = 200;

interface StoriesGolden {
  readonly cases: readonly { readonly prompt_ids: number[]; readonly gen_ids: number[] }[];
}

interface Continuation {
  readonly tokens: readonly number[];
  readonly maxTokens: number;
}

/** Greedy continuations, all in one batch. */
async function continuations(path: string, backend: string, prompts: readonly Continuation[]): Promise<number[][]> {
  await using engine = await Engine.load(path, { backend, numThreads: 0, kvCacheBytes: 8 * 1024 * 1024 });
  expect(engine.stats()).toMatchObject({ backend });
  const results = prompts.map(
    ({ tokens, maxTokens }) =>
      engine.generate([...tokens], { temperature: 0, max_tokens: maxTokens, ignore_eos: true }).result,
  );
  return (await Promise.all(results)).map(({ choices }) => [...choices[0]!.tokenIds]);
}

/** A greedy story, as text. */
async function story(backend: string, prompt: string): Promise<string> {
  await using engine = await Engine.load(bundledModelPath('story'), { backend, numThreads: 0, maxModelLen: 256 });
  const options = { temperature: 0, max_tokens: NUM_TOKENS, ignore_eos: true };
  const { text, usage } = await engine.generate(prompt, options).result;
  expect(usage.numGeneratedTokens).toBe(NUM_TOKENS);
  return text;
}

describe.skipIf(!hasGpu)(`the engine on gpujs${gpuSkipNote}`, () => {
  it(`tells the reference's story of ${NUM_TOKENS} tokens with the bundled model`, async () => {
    const prompt = 'Once upon a time';
    expect(await story('gpujs', prompt)).toBe(await story('reference', prompt));
  });

  it('keeps its cache in f16 if told so', async () => {
    const options = { numThreads: 0, maxModelLen: 128, kvDtype: 'f16' } as const;
    const texts = ['gpujs', 'reference'].map(async (backend) => {
      await using engine = await Engine.load(bundledModelPath('draft'), { backend, ...options });
      return (await engine.generate('The fox said', { temperature: 0, max_tokens: 64 }).result).text;
    });
    expect(await texts[0]).toBe(await texts[1]);
  });

  it.skipIf(!hasFixtures)(`continues stories260K as llama2.c does${skipNote}`, async () => {
    const { cases } = await readJson<StoriesGolden>(fixturePath('stories260k/golden.json'));
    const prompts = cases.map(({ prompt_ids, gen_ids }) => ({ tokens: prompt_ids, maxTokens: gen_ids.length }));
    const generated = await continuations(fixturePath('stories260k/stories260K.gguf'), 'gpujs', prompts);
    expect(generated).toEqual(cases.map(({ gen_ids }) => gen_ids));
  });
});
