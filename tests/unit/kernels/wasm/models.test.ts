/** Whole models on the wasm backend, against tokens and logits that others computed. */
import { describe, expect, it } from 'vitest';
import { WasmBackend, type WasmBackendOptions } from '../../../../engine/kernels/wasm/wasm-backend.ts';
import { loadModel } from '../../../../engine/loader/load-model.ts';
import { fixturePath, hasFixtures, readF32, readJson, sharedModelPath, skipNote } from '../../../helpers/fixtures.ts';
import { maxDifference, type Scored, score } from '../../../helpers/score.ts';

async function scoreOn(
  path: string,
  prompts: readonly { readonly tokens: readonly number[]; readonly generate: number }[],
  options: WasmBackendOptions & { readonly kvDtype?: 'f32' | 'f16' } = {},
): Promise<Scored[]> {
  const backend = new WasmBackend(options);
  try {
    const model = await loadModel(path, backend);
    const results: Scored[] = [];
    for (const { tokens, generate } of prompts) results.push(await score(model, tokens, generate, options.kvDtype));
    return results;
  } finally {
    await backend.close();
  }
}

const VARIANTS: readonly WasmBackendOptions[] = [{}, { numerics: 'portable' }, { revectorize: 'off' }];

describe.skipIf(!hasFixtures)(`models on the wasm backend${skipNote}`, () => {
  it.each(VARIANTS)('stories260K continues as llama2.c does, options %j', async (options) => {
    const { cases } = await readJson<StoriesGolden>(fixturePath('stories260k/golden.json'));
    const prompts = cases.map(({ prompt_ids, gen_ids }) => ({ tokens: prompt_ids, generate: gen_ids.length }));
    const results = await scoreOn(fixturePath('stories260k/stories260K.gguf'), prompts, options);
    expect(results.map(({ generated }) => generated)).toEqual(cases.map(({ gen_ids }) => gen_ids));
  });

  it.each(['story-4m-q8_0.gguf', 'story-4m-f16.gguf'])(
    '%s continues as PyTorch does, with f32 and f16 KV',
    async (file) => {
      const { prompts } = await readJson<StoryGolden>(sharedModelPath('story-4m-golden.json'));
      const inputs = prompts
        .slice(0, 2)
        .map(({ prompt_ids, greedy_ids }) => ({ tokens: prompt_ids, generate: greedy_ids.length }));
      for (const kvDtype of ['f32', 'f16'] as const) {
        const results = await scoreOn(sharedModelPath(file), inputs, { kvDtype });
        expect(results.map(({ generated }) => generated)).toEqual(
          prompts.slice(0, 2).map(({ greedy_ids }) => greedy_ids),
        );
      }
    },
  );

  // llama.cpp, which rounds activations to 8 bits, is 0.1 to 0.3 away from the dequantized reference on these files.
  it.each([
    ['Q4_0', 0.3],
    ['Q8_0', 2e-3],
    ['F16', 1e-4],
    ['Q4_K_M', 0.3],
  ] as const)('quantized/llama-gqa-%s gives logits within %f of f32 activations', async (name, tolerance) => {
    const { cases, vocab } = await readJson<QuantizedGolden>(fixturePath(`quantized/llama-gqa-${name}.json`));
    const expected = await readF32(fixturePath(`quantized/llama-gqa-${name}.logits.dequantref.f32`));
    // The reference was fed llama.cpp's own tokens.
    const prompts = cases.map(({ ids, gen, gen_rows }) => ({
      tokens: [...ids, ...gen.slice(0, gen_rows)],
      generate: 0,
    }));
    const results = await scoreOn(fixturePath(`quantized/llama-gqa-${name}.gguf`), prompts);
    for (const [i, { logits_row0, prompt_rows, gen_rows }] of cases.entries()) {
      for (let row = 0; row < prompt_rows + gen_rows; row++) {
        const start = (logits_row0 + row) * vocab;
        const difference = maxDifference(results[i]!.rows[row]!, expected.subarray(start, start + vocab));
        expect(difference).toBeLessThan(tolerance);
      }
    }
  });
});

interface StoriesGolden {
  readonly cases: readonly { readonly prompt_ids: number[]; readonly gen_ids: number[] }[];
}
interface StoryGolden {
  readonly prompts: readonly { readonly prompt_ids: number[]; readonly greedy_ids: number[] }[];
}
interface QuantizedGolden {
  readonly vocab: number;
  readonly cases: readonly {
    readonly ids: number[];
    readonly gen: number[];
    readonly logits_row0: number;
    readonly prompt_rows: number;
    readonly gen_rows: number;
  }[];
}
