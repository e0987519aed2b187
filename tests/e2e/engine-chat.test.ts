/** Conversations through the public API. The bundled model has no template, so the plain fallback is what it gets. */
import { expect, it } from 'vitest';
import { bundledModelPath, Engine, InvalidArgumentError } from '../../engine/index.ts';

it('chat is generate over the rendered conversation, with the stop strings of its format', async () => {
  await using engine = await Engine.load(bundledModelPath('draft'), { numThreads: 0 });
  const messages = [{ role: 'user' as const, content: 'Tell me of a king.' }];
  const options = { max_tokens: 24, temperature: 0 };
  const { text, usage } = await engine.chat(messages, options).result;
  const again = await engine.chat(messages, { ...options, stop: 'zzz' }).result;
  expect(again.text).toBe(text);
  expect(usage.numPromptTokens).toBeGreaterThan(8);
  expect(text).not.toContain('User:');
});

it('a second turn finds the first in the prefix cache', async () => {
  await using engine = await Engine.load(bundledModelPath('draft'), { numThreads: 0 });
  const first = [{ role: 'user' as const, content: 'Tell me of a king who had three sons and a daughter. '.repeat(3) }];
  const answer = await engine.chat(first, { max_tokens: 20, temperature: 0 }).result;
  const second = [
    ...first,
    { role: 'assistant' as const, content: answer.text },
    { role: 'user' as const, content: 'Go on.' },
  ];
  const { usage } = await engine.chat(second, { max_tokens: 4, temperature: 0 }).result;
  expect(usage.numCachedTokens).toBeGreaterThanOrEqual(32);
});

it('messages that are none are refused before anything starts', async () => {
  await using engine = await Engine.load(bundledModelPath('draft'), { numThreads: 0 });
  expect(() => engine.chat([])).toThrow(InvalidArgumentError);
  expect(() => engine.chat([{ role: 'king' as 'user', content: 'x' }])).toThrow(InvalidArgumentError);
  expect(engine.stats().numQueued).toBe(0);
});
