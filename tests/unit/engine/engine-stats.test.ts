/** `engine.stats()` must say what is really in use, not what was asked for. */
import { expect, it } from 'vitest';
import { bundledModelPath } from '../../../engine/bundled-model.ts';
import { Engine } from '../../../engine/engine.ts';
import type { EngineOptions } from '../../../engine/engine-options.ts';

async function statsOf(options: EngineOptions) {
  await using engine = await Engine.load(bundledModelPath('draft'), { maxModelLen: 32, maxNumSeqs: 1, ...options });
  return engine.stats();
}

it('names the backend that auto chose, its features and its threads', async () => {
  expect(await statsOf({ numThreads: 1 })).toMatchObject({
    backend: 'wasm',
    numThreads: 1,
    features: { relaxedSimd: { used: expect.any(Boolean) }, revectorized: { used: expect.any(Boolean) } },
  });
});

it('says why a feature is not in use', async () => {
  const { features } = await statsOf({ numThreads: 0, numerics: 'portable', revectorize: 'off' });
  expect(features.relaxedSimd).toEqual({ used: false, reason: expect.stringContaining("numerics: 'portable'") });
  expect(features.revectorized).toEqual({ used: false, reason: expect.stringContaining("revectorize: 'off'") });
});

it('claims no features for a backend that has none', async () => {
  expect(await statsOf({ numThreads: 0, backend: 'reference' })).toMatchObject({ backend: 'reference', features: {} });
});
