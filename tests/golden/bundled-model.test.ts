/** The bundled models against PyTorch: needs nothing beside the repository. `story-4m.json` and `story-draft.json` were
 * written by the program that trained the models (PyTorch, float32 weights); see models/README.md. */
import { describe, expect, it } from 'vitest';
import { type BundledModel, bundledModelPath } from '../../engine/bundled-model.ts';
import { argmax } from '../../engine/sampling/argmax.ts';
import { hasFixtures, readJson, sharedModelPath, skipNote } from '../helpers/fixtures.ts';
import { score, withModel } from '../helpers/score.ts';

interface Golden {
  readonly prompts: {
    readonly prompt: string;
    readonly prompt_ids: number[];
    readonly greedy_ids: number[];
    readonly greedy_text: string;
    readonly top5: [id: number, logit: number][];
    readonly margins: number[];
  }[];
}

const MODELS = [
  { name: 'story', golden: 'story-4m.json', f16: 'story-4m-f16.gguf' },
  { name: 'draft', golden: 'story-draft.json', f16: 'story-draft-f16.gguf' },
] as const satisfies readonly { name: BundledModel; golden: string; f16: string }[];

/** Q8_0 rounds each weight to 1/254 of its block's largest: logits of about 10 were seen to move by up to 0.06. */
const Q8_0_TOLERANCE = 0.1;

/** Feeds the golden tokens, so that one near-tie does not change everything after it. Returns each step's best token. */
async function check(path: string, golden: string, tolerance: number): Promise<void> {
  const { prompts } = await readJson<Golden>(new URL(golden, import.meta.url).pathname);
  await withModel(path, async (model) => {
    for (const { prompt, prompt_ids, greedy_ids, greedy_text, top5, margins } of prompts) {
      expect([...model.tokenizer.encode(prompt, { addSpecial: true })]).toEqual(prompt_ids);
      expect(model.tokenizer.decode(greedy_ids, { continuation: true })).toBe(greedy_text);
      const { rows } = await score(model, [...prompt_ids, ...greedy_ids.slice(0, -1)], 0);
      const steps = rows.slice(prompt_ids.length - 1);
      expect(steps).toHaveLength(greedy_ids.length);
      for (const [id, logit] of top5) expect(Math.abs(steps[0]![id]! - logit)).toBeLessThan(tolerance);
      for (const [i, row] of steps.entries()) {
        // Two logits that lie closer than the tolerance may change places.
        if (margins[i]! > tolerance) expect(argmax(row)).toBe(greedy_ids[i]);
      }
    }
  });
}

describe.each(MODELS)('bundled model $name', ({ name, golden }) => {
  it('chooses what PyTorch chooses wherever the choice is clear', () =>
    check(bundledModelPath(name), golden, Q8_0_TOLERANCE));
});

describe.skipIf(!hasFixtures).each(MODELS)(`model $name in F16${skipNote}`, ({ golden, f16 }) => {
  // Every weight is representable in f16, so only the order of summation differs from PyTorch's.
  it('chooses what PyTorch chooses', () => check(sharedModelPath(f16), golden, 1e-3));
});
