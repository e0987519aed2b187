import { describe, expect, it } from 'vitest';
import { mixedWorkload, poissonArrivals } from '../../../bench/serving/workload.ts';

const OPTIONS = {
  seed: 1,
  numRequests: 400,
  vocabulary: Array.from({ length: 100 }, (_, i) => i + 5),
  maxModelLen: 512,
};

describe('mixedWorkload', () => {
  const requests = mixedWorkload(OPTIONS);

  it('is the same for the same seed, and another for another', () => {
    expect(mixedWorkload(OPTIONS)).toEqual(requests);
    expect(mixedWorkload({ ...OPTIONS, seed: 2 })).not.toEqual(requests);
  });

  it('has short and long prompts and answers, of the tokens given', () => {
    const lengths = requests.map(({ promptTokenIds }) => promptTokenIds.length);
    expect(Math.min(...lengths)).toBeLessThan(24);
    expect(Math.max(...lengths)).toBeGreaterThan(200);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(256);
    for (const { promptTokenIds, numNewTokens } of requests) {
      expect(promptTokenIds.every((id) => id >= 5 && id < 105)).toBe(true);
      expect(numNewTokens >= 16 && numNewTokens <= 48).toBe(true);
    }
  });

  it('has four beginnings that about half of the long prompts share', () => {
    const long = requests.filter(({ promptTokenIds }) => promptTokenIds.length > 64);
    const counts = new Map<string, number>();
    for (const { promptTokenIds } of long) {
      const start = promptTokenIds.slice(0, 64).join();
      counts.set(start, (counts.get(start) ?? 0) + 1);
    }
    const shared = [...counts.values()].filter((count) => count > 1);
    expect(shared).toHaveLength(4);
    const share = shared.reduce((sum, count) => sum + count, 0) / long.length;
    expect(share > 0.35 && share < 0.65).toBe(true);
  });

  it('fits into a short context', () => {
    for (const { promptTokenIds, numNewTokens } of mixedWorkload({ ...OPTIONS, maxModelLen: 128 })) {
      expect(promptTokenIds.length + numNewTokens).toBeLessThanOrEqual(128);
    }
  });
});

describe('poissonArrivals', () => {
  it('come in order, at the rate asked for, with gaps that vary as much as their mean', () => {
    const arrivals = poissonArrivals(1, 4000, 10);
    const gaps = arrivals.map((atMs, i) => atMs - (arrivals[i - 1] ?? 0));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(0);
    expect(Math.abs(mean - 100)).toBeLessThan(5);
    expect(Math.abs(deviation - 100)).toBeLessThan(10);
  });
});
