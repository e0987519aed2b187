/** The engine on the WebGPU backend: the same greedy tokens as the reference, alone and in a batch. */
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { Engine } from '../../engine/engine.ts';
import { resolveEngineOptions } from '../../engine/engine-options.ts';
import type { WebGpuBackend } from '../../engine/kernels/webgpu/webgpu-backend.ts';
import { loadEngine } from '../../engine/load-engine.ts';
import type { SamplingOptions } from '../../engine/sampling/sampling-options.ts';
import { fixturePath, hasFixtures, skipNote } from '../helpers/fixtures.ts';
import { gpuSkipNote, hasGpu } from '../helpers/gpu.ts';

const NUM_TOKENS = 200;
const PROMPTS = ['Once upon a time', 'The fox said', 'A king had a'];

/** Greedy continuations: the first alone, then all in one batch. */
async function continuations(path: string, backend: string, kvDtype: 'f32' | 'f16' = 'f32'): Promise<number[][]> {
  await using engine = await Engine.load(path, { backend, kvDtype, numThreads: 1, maxModelLen: 256, maxNumSeqs: 4 });
  expect(engine.stats()).toMatchObject({ backend, numThreads: backend === 'webgpu' ? 0 : 1 });
  const generate = async (prompt: string, max_tokens: number): Promise<number[]> => {
    const { choices } = await engine.generate(prompt, { temperature: 0, max_tokens, ignore_eos: true }).result;
    return [...choices[0]!.tokenIds];
  };
  const alone = await generate(PROMPTS[0]!, NUM_TOKENS);
  const together = await Promise.all(PROMPTS.map((prompt) => generate(prompt, 24)));
  expect(together[0]).toEqual(alone.slice(0, 24));
  return [alone, ...together];
}

describe.skipIf(!hasGpu)(`the engine on webgpu${gpuSkipNote}`, () => {
  it.each(['draft', 'story'] as const)('generates what the reference does with the bundled model %s', async (name) => {
    const path = bundledModelPath(name);
    expect(await continuations(path, 'webgpu')).toEqual(await continuations(path, 'reference'));
  });

  it('keeps its cache in f16 if told so', async () => {
    const path = bundledModelPath('draft');
    expect(await continuations(path, 'webgpu', 'f16')).toEqual(await continuations(path, 'reference', 'f16'));
  });

  it.skipIf(!hasFixtures)(`generates what the reference does with stories260K${skipNote}`, async () => {
    const path = fixturePath('stories260k/stories260K.gguf');
    expect(await continuations(path, 'webgpu')).toEqual(await continuations(path, 'reference'));
  });

  it('gives the GPU a whole step at once, and reads once what became of it', async () => {
    const options = resolveEngineOptions({ backend: 'webgpu', maxModelLen: 64, maxNumSeqs: 4 });
    const loaded = await loadEngine(bundledModelPath('draft'), options);
    // As `Engine.load` does, but with the backend at hand.
    await using engine: Engine = Reflect.construct(Engine, [loaded, options]);
    const counts = () => ({ ...(loaded.model.backend as WebGpuBackend).commandCounts, steps: engine.stats().numSteps });
    const generate = (prompt: string, max_tokens = 12) =>
      engine.generate(prompt, { temperature: 0, max_tokens, ignore_eos: true }).result;
    await generate(PROMPTS[0]!);
    const before = counts();
    await Promise.all(PROMPTS.map((prompt) => generate(prompt)));
    const after = counts();
    const numSteps = after.steps - before.steps;
    expect(numSteps).toBe(12);
    expect(after.submissions - before.submissions).toBe(numSteps);
    expect(after.reads - before.reads).toBe(numSteps);
    // Every step of decoding has the same ops: a number that is not whole would be kernels that come and go.
    await Promise.all(PROMPTS.map((prompt) => generate(prompt, 12 + 7)));
    const more = counts().dispatches - after.dispatches - (after.dispatches - before.dispatches);
    expect(more).toBeGreaterThan(0);
    expect(more % 7).toBe(0);
  });

  it('scores and embeds as the reference does', async () => {
    const results = [];
    for (const backend of ['webgpu', 'reference']) {
      await using engine = await Engine.load(bundledModelPath('draft'), { backend, numThreads: 0, maxModelLen: 64 });
      const { logprobs } = await engine.score('The wolf and the seven little goats');
      const { vector } = await engine.embed('The wolf and the seven little goats');
      results.push([...logprobs, ...vector]);
    }
    const [actual, expected] = results as [number[], number[]];
    expect(actual.length).toBe(expected.length);
    for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i]!, 3);
  });

  it('samples alike alone and in a batch, whether it brings whole rows to the host or only the best of each', async () => {
    await using engine = await Engine.load(bundledModelPath('draft'), {
      backend: 'webgpu',
      maxModelLen: 64,
      maxNumSeqs: 8,
    });
    const sampling: SamplingOptions[] = [
      { temperature: 0 },
      { top_k: 5 },
      { top_p: 0.9 },
      {},
      { temperature: 0, logprobs: 2 },
    ];
    const generate = async (options: SamplingOptions): Promise<readonly number[]> =>
      (await engine.generate(PROMPTS[1]!, { ...options, seed: 7, max_tokens: 12 }).result).choices[0]!.tokenIds;
    const alone: (readonly number[])[] = [];
    for (const options of sampling) alone.push(await generate(options));
    expect(await Promise.all(sampling.map(generate))).toEqual(alone);
  });
});
