import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../../engine/errors.ts';
import { Candidates } from '../../../engine/sampling/candidates.ts';
import { candidatesOf, idsOf, logitRows, naiveOrder, naiveSoftmax } from './naive-sampling.ts';

const { NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;

describe('Candidates', () => {
  it('loads a row, NaN banned, and refuses one of another size', () => {
    const candidates = new Candidates(3);
    candidates.load(Float32Array.of(1, Number.NaN, POSITIVE_INFINITY));
    expect(idsOf(candidates)).toEqual([0, 1, 2]);
    expect([...candidates.logits]).toEqual([1, NEGATIVE_INFINITY, POSITIVE_INFINITY]);
    expect(() => candidates.load(new Float32Array(4))).toThrow(ShapeError);
  });

  it('starts over with each row', () => {
    const candidates = candidatesOf([1, 2, 3]);
    candidates.dropBelow(2.5);
    candidates.load(Float32Array.of(7, 8, 9));
    expect(idsOf(candidates)).toEqual([0, 1, 2]);
    expect([...candidates.logits]).toEqual([7, 8, 9]);
  });

  it('finds tokens after others were dropped', () => {
    fc.assert(
      fc.property(logitRows, fc.double({ min: -5, max: 5, noNaN: true }), (row, minLogit) => {
        const candidates = candidatesOf(row);
        candidates.dropBelow(minLogit);
        const ids = row.map((_, id) => id).filter((id) => row[id]! >= minLogit);
        expect(idsOf(candidates)).toEqual(ids);
        row.forEach((logit, id) => {
          expect(candidates.placeOf(id)).toBe(ids.indexOf(id));
          if (logit >= minLogit) expect(candidates.logits[candidates.placeOf(id)]).toBe(logit);
        });
      }),
    );
  });

  it('softmax agrees with the plain one, and sums to 1', () => {
    fc.assert(
      fc.property(logitRows, (row) => {
        const candidates = candidatesOf(row);
        candidates.softmax();
        const expected = naiveSoftmax(row);
        candidates.probs.forEach((prob, id) => {
          expect(prob).toBeCloseTo(expected[id]!, 12);
        });
        expect(candidates.probs.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
      }),
    );
  });

  it('softmax has limits where exp has none', () => {
    const infinite = candidatesOf([1, POSITIVE_INFINITY, NEGATIVE_INFINITY, POSITIVE_INFINITY]);
    infinite.softmax();
    expect([...infinite.probs]).toEqual([0, 0.5, 0, 0.5]);
    const banned = candidatesOf([NEGATIVE_INFINITY, NEGATIVE_INFINITY]);
    banned.softmax();
    expect([...banned.probs]).toEqual([0, 0]);
    const huge = candidatesOf([1e308, -1e308]);
    huge.softmax();
    expect([...huge.probs]).toEqual([1, 0]);
  });

  it('keepBest takes the highest keys, lower ids first among equals', () => {
    const anyKeys = fc.array(
      fc.oneof(
        fc.integer({ min: -3, max: 3 }),
        fc.double({ noNaN: true }),
        fc.double({ min: -1e-9, max: 1e-9, noNaN: true }),
      ),
      { minLength: 1, maxLength: 80 },
    );
    fc.assert(
      fc.property(fc.oneof(logitRows, anyKeys), fc.integer({ min: 0, max: 90 }), (keys, target) => {
        const candidates = candidatesOf(keys);
        candidates.keepBest(candidates.logits, undefined, target);
        const expected = naiveOrder(keys).slice(0, Math.max(1, target));
        expect(idsOf(candidates)).toEqual(expected.sort((a, b) => a - b));
      }),
    );
  });

  it('keepBest with weights stops where the target is reached', () => {
    // Weights of eighths, so that sums are exact in any order.
    const places = fc.array(fc.tuple(fc.integer({ min: -9, max: 9 }), fc.nat(8)), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(places, fc.integer({ min: 0, max: 300 }), (keysAndWeights, target) => {
        const keys = keysAndWeights.map(([key]) => key);
        const weights = keysAndWeights.map(([, weight]) => weight / 8);
        const candidates = candidatesOf(keys);
        candidates.keepBest(candidates.logits, Float64Array.from(weights), target / 8);
        const expected: number[] = [];
        let sum = 0;
        for (const id of naiveOrder(keys)) {
          expected.push(id);
          sum += weights[id]!;
          if (sum >= target / 8) break;
        }
        expect(idsOf(candidates)).toEqual(expected.sort((a, b) => a - b));
      }),
    );
  });

  it('does not care in which order equal values came', () => {
    fc.assert(
      fc.property(logitRows, fc.integer({ min: 1, max: 20 }), fc.gen(), (row, k, gen) => {
        const shuffled = gen(fc.shuffledSubarray, row, { minLength: row.length });
        const kept = (logits: readonly number[]) => {
          const candidates = candidatesOf(logits);
          candidates.keepBest(candidates.logits, undefined, k);
          return [...candidates.logits.subarray(0, candidates.size)].sort((a, b) => a - b);
        };
        expect(kept(shuffled)).toEqual(kept(row));
      }),
    );
  });
});

describe('the k best', () => {
  const rows = fc.array(
    fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double(), fc.constant(Number.NaN), fc.constant(NEGATIVE_INFINITY)),
    { minLength: 1, maxLength: 120 },
  );

  it('are those that come first in order, whichever way they are asked for', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 130 }), (row, k) => {
        const logits = row.map((logit) => (Number.isNaN(logit) ? NEGATIVE_INFINITY : logit));
        const best = logits.map((_, id) => id).sort((a, b) => compare(logits[b]!, logits[a]!) || a - b);
        const expected = best.slice(0, k).sort((a, b) => a - b);
        const kept = new Candidates(row.length);
        kept.load(Float64Array.from(row));
        kept.keepTop(k);
        const loaded = new Candidates(row.length);
        loaded.loadTop(Float64Array.from(row), k);
        for (const candidates of [kept, loaded]) {
          expect(idsOf(candidates)).toEqual(expected);
          expect([...candidates.logits.subarray(0, candidates.size)]).toEqual(expected.map((id) => logits[id]));
        }
      }),
    );
  });

  it('are found after others were dropped', () => {
    const row = Float32Array.from({ length: 200 }, (_, id) => (id * 37) % 200);
    const candidates = new Candidates(200);
    candidates.load(row);
    candidates.dropBelow(20);
    candidates.keepTop(3);
    expect(idsOf(candidates)).toEqual([197, 199, 198].map((value) => row.indexOf(value)).sort((a, b) => a - b));
  });

  it('refuse a row of another size', () => {
    expect(() => new Candidates(3).loadTop(new Float32Array(4), 2)).toThrow(ShapeError);
  });
});

/** Of numbers, infinite ones too: their difference may be NaN. */
const compare = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1);
