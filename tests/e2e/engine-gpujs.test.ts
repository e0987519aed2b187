/** The engine on kernels that gpu.js compiled: the same greedy tokens as the reference. */
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { Engine } from '../../engine/engine.ts';
import { fixturePath, hasFixtures, readJson, skipNote } from '../helpers/fixtures.ts';
import { gpuSkipNote, hasGpu } from '../helpers/gpu.ts';

/** On software that plays a GPU, 200 tokens take half a minute. */
const numTokens = process.env.QUERN_RUNS === undefined ? 64 : 200;

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
  const results = prompts.map(
    ({ tokens, maxTokens }) =>
      engine.generate([...tokens], { temperature: 0, max_tokens: maxTokens, ignore_eos: true }).result,
  );
  return (await Promise.all(results)).map(({ choices }) => [...choices[0]!.tokenIds]);
}

describe.skipIf(!hasGpu)(`the engine on gpujs${gpuSkipNote}`, () => {
  it('continues a prompt with the bundled model as the reference does', async () => {
    const path = bundledModelPath('story');
    const prompts = [{ tokens: [1, 300, 20], maxTokens: numTokens }];
    expect(await continuations(path, 'gpujs', prompts)).toEqual(await continuations(path, 'reference', prompts));
  });

  it.skipIf(!hasFixtures)(`continues stories260K as llama2.c does${skipNote}`, async () => {
    const { cases } = await readJson<StoriesGolden>(fixturePath('stories260k/golden.json'));
    const prompts = cases.map(({ prompt_ids, gen_ids }) => ({ tokens: prompt_ids, maxTokens: gen_ids.length }));
    const generated = await continuations(fixturePath('stories260k/stories260K.gguf'), 'gpujs', prompts);
    expect(generated).toEqual(cases.map(({ gen_ids }) => gen_ids));
  });
});
