import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { percentile, summarize } from '../../../cli/statistics.ts';

describe('percentile', () => {
  it('is what numpy gives', () => {
    expect(percentile([4, 1, 3, 2], 50)).toBe(2.5);
    expect(percentile([10, 20, 30, 40, 50], 90)).toBeCloseTo(46, 12);
    expect(percentile([7], 99)).toBe(7);
    expect(percentile([], 50)).toBeNaN();
  });

  it('grows with the percentage, between the extremes', () => {
    const number = fc.double({ noNaN: true, min: -1e6, max: 1e6 });
    fc.assert(
      fc.property(fc.array(number, { minLength: 1 }), (values) => {
        const curve = [0, 10, 50, 90, 99, 100].map((percent) => percentile(values, percent));
        expect(curve[0]! === Math.min(...values)).toBe(true);
        expect(curve.at(-1)! === Math.max(...values)).toBe(true);
        for (let i = 1; i < curve.length; i++) expect(curve[i]! - curve[i - 1]!).toBeGreaterThanOrEqual(-1e-9);
      }),
    );
  });
});

it('summarize leaves the samples in their order', () => {
  expect(summarize([3, 1, 2])).toEqual({ samples: [3, 1, 2], median: 2, min: 1, max: 3 });
});
