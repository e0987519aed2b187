import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LogProbabilities } from '../../../engine/sampling/log-probabilities.ts';
import { floatRows, naiveOrder, naiveSoftmax } from './naive-sampling.ts';

const { NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;

describe('LogProbabilities', () => {
  it('are the logarithms of the softmax', () => {
    fc.assert(
      fc.property(floatRows, (row) => {
        const logProbabilities = new LogProbabilities(row);
        const probs = naiveSoftmax([...row]);
        let sum = 0;
        probs.forEach((prob, id) => {
          const logprob = logProbabilities.of(id);
          expect(logprob).toBeLessThanOrEqual(0);
          expect(Math.exp(logprob)).toBeCloseTo(prob, 12);
          if (prob > 1e-300) expect(logprob).toBeCloseTo(Math.log(prob), 9);
          sum += Math.exp(logprob);
        });
        expect(sum).toBeCloseTo(1, 12);
      }),
    );
  });

  it('keep their digits where probabilities underflow', () => {
    const logProbabilities = new LogProbabilities(Float32Array.of(0, -1000));
    expect(logProbabilities.of(0)).toBe(-0);
    expect(logProbabilities.of(1)).toBe(-1000);
  });

  it('list the likeliest first, the lower id among equals', () => {
    fc.assert(
      fc.property(floatRows, fc.nat(20), (row, count) => {
        const possible = naiveOrder([...row]).filter((id) => row[id] !== NEGATIVE_INFINITY);
        const logProbabilities = new LogProbabilities(row);
        const top = logProbabilities.top(count);
        expect(top.map(({ tokenId }) => tokenId)).toEqual(possible.slice(0, count));
        for (const { tokenId, logprob } of top) expect(logprob).toBe(logProbabilities.of(tokenId));
      }),
    );
  });

  it('take NaN as impossible and +Infinity as certain', () => {
    const logProbabilities = new LogProbabilities(
      Float32Array.of(Number.NaN, POSITIVE_INFINITY, 3, POSITIVE_INFINITY, NEGATIVE_INFINITY),
    );
    expect(logProbabilities.of(0)).toBe(NEGATIVE_INFINITY);
    expect(logProbabilities.of(1)).toBeCloseTo(Math.log(0.5));
    expect(logProbabilities.of(2)).toBe(NEGATIVE_INFINITY);
    expect(logProbabilities.of(4)).toBe(NEGATIVE_INFINITY);
    expect(logProbabilities.top(5).map(({ tokenId }) => tokenId)).toEqual([1, 3, 2]);
    const empty = new LogProbabilities(Float32Array.of(Number.NaN, NEGATIVE_INFINITY));
    expect([empty.of(0), empty.of(1), empty.top(2)]).toEqual([NEGATIVE_INFINITY, NEGATIVE_INFINITY, []]);
  });
});
