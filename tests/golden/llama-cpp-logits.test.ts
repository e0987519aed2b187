/** Logits and greedy tokens against llama.cpp, llama2.c and float64 references. The tolerances are those that the
 * references themselves need: two float32 engines differ by 1e-5, so 2e-4 leaves room and still catches any wrong op. */
import { describe, expect, it } from 'vitest';
import { fixturePath, hasFixtures, readF32, readJson, skipNote } from '../helpers/fixtures.ts';
import { maxDifference, score, withModel } from '../helpers/score.ts';

interface SynthCase {
  readonly ids: number[];
  readonly gen: number[];
  readonly logits_row0: number;
  readonly prompt_rows: number;
  readonly gen_rows: number;
}

interface Stories {
  readonly cases: {
    readonly prompt_ids: number[];
    readonly gen_ids: number[];
    readonly logits_row0: number;
    readonly logits_rows: number;
  }[];
}

/** All greedy tokens, and all rows that the reference has, prompt first. */
async function check(name: string, reference: string, tolerance: number): Promise<void> {
  const { cases, vocab } = await readJson<{ cases: SynthCase[]; vocab: number }>(fixturePath(`${name}.json`));
  const logits = await readF32(fixturePath(`${name}.${reference}.f32`));
  await withModel(fixturePath(`${name}.gguf`), async (model) => {
    for (const { ids, gen, logits_row0, prompt_rows, gen_rows } of cases) {
      const scored = await score(model, ids, gen.length);
      expect(scored.generated).toEqual(gen);
      const numRows = prompt_rows + gen_rows;
      for (let row = 0; row < numRows; row++) {
        const expected = logits.subarray((logits_row0 + row) * vocab, (logits_row0 + row + 1) * vocab);
        expect(maxDifference(scored.rows[row]!, expected)).toBeLessThan(tolerance);
      }
    }
  });
}

describe.skipIf(!hasFixtures)(`random-weight models${skipNote}`, () => {
  it('llama with grouped queries: interleaved rope, 300-token prompt', () =>
    check('synth/llama-gqa', 'logits.ref64', 2e-4));
  it('qwen2: biases, neox rope', () => check('synth/qwen2-bias-neox', 'logits.ref64', 2e-4));
});

describe.skipIf(!hasFixtures)(`quantized models against float32 over dequantized weights${skipNote}`, () => {
  for (const type of ['F16', 'Q8_0', 'Q4_0', 'Q4_K_M']) {
    it(type, async () => {
      const name = `quantized/llama-gqa-${type}`;
      const { cases, vocab } = await readJson<{ cases: SynthCase[]; vocab: number }>(fixturePath(`${name}.json`));
      const logits = await readF32(fixturePath(`${name}.logits.dequantref.f32`));
      await withModel(fixturePath(`${name}.gguf`), async (model) => {
        for (const { ids, gen, logits_row0, prompt_rows, gen_rows } of cases) {
          // The reference fed back llama.cpp's own tokens, which quantized activations may have swayed.
          const fed = [...ids, ...gen.slice(0, gen_rows)];
          const { rows } = await score(model, fed, 0);
          for (let row = 0; row < prompt_rows + gen_rows; row++) {
            const expected = logits.subarray((logits_row0 + row) * vocab, (logits_row0 + row + 1) * vocab);
            expect(maxDifference(rows[row]!, expected)).toBeLessThan(1e-4);
          }
        }
      });
    });
  }
});

describe.skipIf(!hasFixtures)(`stories260K, a trained model${skipNote}`, () => {
  it.each(['stories260k/stories260K.gguf', 'stories260k/hf'])('%s gives the golden tokens and logits', async (path) => {
    const { cases } = await readJson<Stories>(fixturePath('stories260k/golden.json'));
    const logits = await readF32(fixturePath('stories260k/golden.logits.f32'));
    await withModel(fixturePath(path), async (model) => {
      const { vocabSize } = model.config;
      for (const { prompt_ids, gen_ids, logits_row0, logits_rows } of cases) {
        const scored = await score(model, prompt_ids, gen_ids.length);
        expect(scored.generated).toEqual(gen_ids);
        for (let row = 0; row < logits_rows; row++) {
          const expected = logits.subarray((logits_row0 + row) * vocabSize, (logits_row0 + row + 1) * vocabSize);
          expect(maxDifference(scored.rows[row]!, expected)).toBeLessThan(2e-4);
        }
      }
    });
  });

  // Rounding the weights to BF16 makes two nearly equal logits change places (float64 gives a margin of 0.0009), so these
  // weights have a text of their own from token 181 on.
  it('the sharded BF16 copy gives the tokens that float64 gives for its weights', async () => {
    const golden = await readJson<Stories>(new URL('stories260k-bf16.json', import.meta.url).pathname);
    await withModel(fixturePath('stories260k/hf/bf16-sharded'), async (model) => {
      for (const { prompt_ids, gen_ids } of golden.cases) {
        expect((await score(model, prompt_ids, gen_ids.length)).generated).toEqual(gen_ids);
      }
    });
  });
});
