/** Prompt caches through the public API: what one engine computed, another need not. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { bundledModelPath, Engine } from '../../engine/index.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();
const PROMPT =
  'Once upon a time there was a king who had three sons, and the youngest of them was called Hans. '.repeat(3);
const OPTIONS = { max_tokens: 12, temperature: 0 };

it('a restored prompt cache serves the prompt, gives the same text, and a damaged one is refused', async () => {
  const path = folder.at('prompts.cache');
  await using first = await Engine.load(bundledModelPath('draft'));
  const told = await first.generate(PROMPT, OPTIONS).result;
  expect(told.usage.numCachedTokens).toBe(0);
  const saved = await first.savePromptCache(path);
  // Prompts can be read from it.
  if (process.platform !== 'win32') expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(saved.numTokens).toBeGreaterThanOrEqual(Math.floor(told.usage.numPromptTokens / 16) * 16);

  await using second = await Engine.load(bundledModelPath('draft'), { numThreads: 1 });
  expect(await second.restorePromptCache(path)).toMatchObject({ numTokens: saved.numTokens });
  const again = await second.generate(PROMPT, OPTIONS).result;
  expect(again.text).toBe(told.text);
  expect(again.usage.numCachedTokens).toBe(Math.floor((told.usage.numPromptTokens - 1) / 16) * 16);

  const bytes = await readFile(path);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(path, bytes);
  await using third = await Engine.load(bundledModelPath('draft'), { numThreads: 0 });
  expect(await third.restorePromptCache(path)).toMatchObject({ numBlocks: 0, refused: { reason: 'damaged' } });
  const alone = await third.generate(PROMPT, OPTIONS).result;
  expect([alone.text, alone.usage.numCachedTokens]).toEqual([told.text, 0]);
});

it('a cache of another model is foreign', async () => {
  const path = folder.at('foreign.cache');
  await using draft = await Engine.load(bundledModelPath('draft'), { numThreads: 0 });
  await draft.generate(PROMPT, OPTIONS).result;
  await draft.savePromptCache(path);
  await using story = await Engine.load(bundledModelPath('story'), { numThreads: 0 });
  expect(await story.restorePromptCache(path)).toMatchObject({ numBlocks: 0, refused: { reason: 'foreign' } });
});
