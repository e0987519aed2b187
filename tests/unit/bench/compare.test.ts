/** The comparison's bookkeeping, and its processes with Quern on both sides: the other engines are not installed here
 * (see bench/compare/package.json). */
import { describe, expect, it } from 'vitest';
import { compare, inTurn, type PeerResult } from '../../../bench/compare/compare.ts';
import { contenders, PEER_NAMES } from '../../../bench/compare/contenders.ts';
import { comparisons, toRecords, toText } from '../../../bench/compare/report.ts';
import { bundledModelPath } from '../../../engine/bundled-model.ts';

const OPTIONS = {
  model: bundledModelPath('draft'),
  threads: 1,
  tests: [{ kind: 'tg', numTokens: 2, batch: 2, depth: 0 }],
  kvDtype: 'f32',
  repetitions: 1,
  onProgress: () => {},
} as const;

const result = (name: string, parts: Partial<PeerResult>): PeerResult => ({
  name,
  facts: { version: 1 },
  loads: [{ startMs: 100, loadMs: 900 }],
  loadedRss: 1000,
  peakRss: 2000,
  samples: {},
  ...parts,
});

describe('comparisons', () => {
  const results = [
    result('quern', { samples: { pp8: [10, 20, 60] } }),
    result('other', { samples: { pp8: [20, 20, 20] }, peakRss: 3000, loads: [{ startMs: 500, loadMs: 1500 }] }),
  ];

  it('takes ratios repetition by repetition; above 1 is better, of time and memory too', () => {
    const [pp, load, loadedRss, peakRss] = comparisons(results);
    expect(pp).toMatchObject({ test: 'pp8', values: { quern: { median: 20 }, other: { median: 20 } } });
    expect(pp!.ratios.other).toEqual({ median: 1, min: 0.5, max: 3 });
    expect(load!.ratios.other!.median).toBe(2);
    expect(loadedRss!.ratios.other!.median).toBe(1);
    expect(peakRss!.ratios.other!.median).toBe(1.5);
  });

  it('keeps with each record what is needed to repeat it', () => {
    expect(toRecords({ threads: 2 }, results)[0]).toMatchObject({
      benchmark: 'compare',
      threads: 2,
      test: 'pp8',
      engines: { quern: { version: 1 }, other: { version: 1 } },
    });
    expect(toText('folder/m.gguf', 2, results)).toMatch(/^m\.gguf, 2 threads.*\n.*quern +other +ratio/);
  });
});

it('takes turns at being first', () => {
  expect([0, 1, 2, 3].map((turn) => inTurn(['a', 'b', 'c'], turn).join(''))).toEqual(['abc', 'bca', 'cab', 'abc']);
});

it('compares Quern with the peers that are wanted', () => {
  expect(contenders(PEER_NAMES).map(({ name }) => name)).toEqual(['quern', 'llama.cpp', 'node-llama-cpp']);
  expect(contenders(['llama.cpp']).map(({ name }) => name)).toEqual(['quern', 'llama.cpp']);
});

describe('processes', () => {
  it('measure in turns and say with what', async () => {
    const twins = ['quern', 'twin'].map((name) => ({ name, script: 'quern-peer.ts', args: [] }));
    const results = await compare(twins, OPTIONS);
    expect(results.map(({ name }) => name)).toEqual(['quern', 'twin']);
    for (const { facts, samples, loads, peakRss, loadedRss } of results) {
      expect(facts).toMatchObject({ backend: 'wasm', kvDtype: 'f32' });
      expect(samples['tg2@b2']).toEqual([expect.any(Number)]);
      expect(loads).toHaveLength(1);
      expect(loadedRss).toBeGreaterThan(10 * 2 ** 20);
      expect(peakRss).toBeGreaterThanOrEqual(loadedRss);
    }
  });

  it('that fail are named', async () => {
    const [quern] = contenders([]);
    // A module that ends at once, without having answered.
    const silent = { name: 'ghost', script: 'report.ts', args: [] };
    await expect(compare([silent], OPTIONS)).rejects.toThrow('ghost ended with code 0');
    await expect(compare([quern!], { ...OPTIONS, model: '/no/such.gguf' })).rejects.toThrow(/quern: .*no\/such\.gguf/);
  });
});
