/** With a real model: what a restored block holds decides the next token, so equal logits say that every byte is right. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../../engine/engine-options.ts';
import { restorePromptCache } from '../../../engine/prompt-cache/restore-prompt-cache.ts';
import { savePromptCache } from '../../../engine/prompt-cache/save-prompt-cache.ts';
import { Rng } from '../../../engine/util/rng.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';
import { SmallEngine } from './small-engine.ts';

const folder = useTemporaryFolder();

const SIZES = { maxModelLen: 128, maxNumSeqs: 4, numThreads: 0 };

function randomTokens(seed: number, length: number): number[] {
  const rng = Rng.fromSeed(seed);
  return Array.from({ length }, () => 3 + (rng.nextUint32() % 500));
}

const SHARED = randomTokens(1, 64);
const PROMPTS = [2, 3, 4].map((seed) => [...SHARED, ...randomTokens(seed, 5 + 7 * seed)]);

describe.each([
  ['f32', {}],
  ['f16', { kvDtype: 'f16' }],
  ['q8_0', { kvDtype: 'q8_0' }],
  ['f32 on two worker threads', { numThreads: 2 }],
] satisfies [string, EngineOptions][])('a KV cache of %s', (_, options) => {
  it('gives the very same logits after it was saved and restored, and computes only the tails', async () => {
    const path = folder.at('model');
    await using fresh = await SmallEngine.load({ ...SIZES, ...options, enablePrefixCaching: false });
    const expected = await Promise.all(PROMPTS.map((prompt) => fresh.generate(prompt, 4)));
    expect(expected.map(({ numCachedTokens }) => numCachedTokens)).toEqual([0, 0, 0]);

    await using before = await SmallEngine.load({ ...SIZES, ...options });
    await before.generate(PROMPTS[0]!, 1);
    // In the middle of other work.
    const other = before.generate(PROMPTS[1]!, 8);
    const saved = await savePromptCache(before.host, path);
    expect(saved.numBlocks).toBeGreaterThanOrEqual(5);
    await other;

    await using after = await SmallEngine.load({ ...SIZES, ...options });
    const early = after.generate(randomTokens(9, 40), 8);
    const restored = await restorePromptCache(after.host, path);
    expect(restored).toEqual({ ...saved, numBytes: undefined, numBlocksInFile: saved.numBlocks });
    await early;
    const answers = await Promise.all(PROMPTS.map((prompt) => after.generate(prompt, 4)));
    expect(answers.map(({ tokenIds, logits }) => ({ tokenIds, logits }))).toEqual(
      expected.map(({ tokenIds, logits }) => ({ tokenIds, logits })),
    );
    for (const { numCachedTokens } of answers) expect(numCachedTokens).toBeGreaterThanOrEqual(64);
    expect((await after.generate(PROMPTS[0]!, 1, 'another salt')).numCachedTokens).toBe(0);
  });
});

it('a damaged file changes no answer', async () => {
  await using before = await SmallEngine.load(SIZES);
  const expected = await before.generate(PROMPTS[0]!, 2);
  const path = folder.at('damaged');
  await savePromptCache(before.host, path);
  const original = await readFile(path);
  for (const at of [3, 30, 100, 5000, original.length / 2, original.length - 100, original.length - 3]) {
    const bytes = Buffer.from(original);
    bytes[Math.floor(at)]! ^= 0x10;
    await using after = await SmallEngine.load(SIZES);
    const { numBlocks, refused } = await restorePromptCache(after.host, await folder.put('damaged-now', bytes));
    expect([numBlocks, refused === undefined]).toEqual([0, false]);
    expect(await after.generate(PROMPTS[0]!, 2)).toEqual({ ...expected, numCachedTokens: 0 });
  }
});
