/** Each processor against its formula, written plainly. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../engine/errors.ts';
import { LogitBiasProcessor } from '../../../engine/sampling/processors/logit-bias.ts';
import { MinPProcessor } from '../../../engine/sampling/processors/min-p.ts';
import { MinTokensProcessor } from '../../../engine/sampling/processors/min-tokens.ts';
import { PenaltiesProcessor } from '../../../engine/sampling/processors/penalties.ts';
import { TemperatureProcessor } from '../../../engine/sampling/processors/temperature.ts';
import { TopKProcessor } from '../../../engine/sampling/processors/top-k.ts';
import { TopNSigmaProcessor } from '../../../engine/sampling/processors/top-n-sigma.ts';
import { TopPProcessor } from '../../../engine/sampling/processors/top-p.ts';
import { TypicalProcessor } from '../../../engine/sampling/processors/typical.ts';
import { XtcProcessor } from '../../../engine/sampling/processors/xtc.ts';
import { Rng } from '../../../engine/util/rng.ts';
import { candidatesOf, contextOf, idsOf, logitRows, naiveOrder, naiveSoftmax } from './naive-sampling.ts';

const { NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;
const probability = fc.double({ min: 0, max: 1, noNaN: true });

/** Sums of probabilities may differ in their last bits with the order of adding. */
const ROUNDING = 1e-12;

/** `kept` is a prefix of `order`, long enough to reach p and no longer. */
function expectNucleus(kept: readonly number[], order: readonly number[], probs: readonly number[], p: number): void {
  expect(kept.length).toBeGreaterThan(0);
  expect(kept).toEqual(order.slice(0, kept.length).sort((a, b) => a - b));
  const massOf = (ids: readonly number[]) => ids.reduce((mass, id) => mass + probs[id]!, 0);
  if (kept.length < order.length) expect(massOf(kept)).toBeGreaterThanOrEqual(p - ROUNDING);
  if (kept.length > 1) expect(massOf(order.slice(0, kept.length - 1))).toBeLessThan(p + ROUNDING);
}

describe('filters', () => {
  it('top_k keeps the k highest', () => {
    fc.assert(
      fc.property(logitRows, fc.integer({ min: 1, max: 80 }), (row, k) => {
        const candidates = candidatesOf(row);
        new TopKProcessor(k).apply(candidates);
        expect(idsOf(candidates)).toEqual(
          naiveOrder(row)
            .slice(0, k)
            .sort((a, b) => a - b),
        );
      }),
    );
  });

  it('top_p keeps the shortest prefix that reaches p', () => {
    fc.assert(
      fc.property(logitRows, probability, (row, p) => {
        const candidates = candidatesOf(row);
        new TopPProcessor(p).apply(candidates);
        expectNucleus(idsOf(candidates), naiveOrder(row), naiveSoftmax(row), p);
      }),
    );
  });

  it('min_p keeps what is likely enough', () => {
    fc.assert(
      fc.property(logitRows, fc.double({ min: 1e-6, max: 1, noNaN: true }), (row, minP) => {
        const candidates = candidatesOf(row);
        new MinPProcessor(minP).apply(candidates);
        const probs = naiveSoftmax(row);
        const threshold = minP * Math.max(...probs);
        const kept = new Set(idsOf(candidates));
        probs.forEach((prob, id) => {
          if (prob > threshold * (1 + 1e-9)) expect(kept).toContain(id);
          if (prob < threshold * (1 - 1e-9)) expect(kept).not.toContain(id);
        });
        expect(kept).toContain(naiveOrder(row)[0]);
      }),
    );
  });

  it('typical_p keeps the most typical that reach p', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 40 }),
        probability,
        (weights, p) => {
          const row = weights.map((weight) => Math.log(weight));
          const candidates = candidatesOf(row);
          new TypicalProcessor(p).apply(candidates);
          const probs = naiveSoftmax(row);
          const entropy = probs.reduce((sum, prob) => sum - prob * Math.log(prob), 0);
          const distances = probs.map((prob) => Math.abs(-Math.log(prob) - entropy));
          const kept = idsOf(candidates);
          const mass = kept.reduce((sum, id) => sum + probs[id]!, 0);
          const furthest = Math.max(...kept.map((id) => distances[id]!));
          if (kept.length < row.length) expect(mass).toBeGreaterThanOrEqual(p - ROUNDING);
          // Nothing closer was left out, and without the furthest the mass would not do.
          distances.forEach((distance, id) => {
            if (distance < furthest - 1e-9) expect(kept).toContain(id);
          });
          const leastNeeded = Math.max(
            ...kept.filter((id) => distances[id]! > furthest - 1e-9).map((id) => probs[id]!),
          );
          if (kept.length > 1) expect(mass - leastNeeded).toBeLessThan(p + ROUNDING);
        },
      ),
    );
  });

  it('typical_p may drop the likeliest token, top_p never does', () => {
    const row = [0.4, 0.2, 0.2, 0.2].map(Math.log);
    const typical = candidatesOf(row);
    new TypicalProcessor(0.5).apply(typical);
    expect(idsOf(typical)).toEqual([1, 2, 3]);
  });

  it('typical_p is not confused by banned tokens', () => {
    const row = [0.4, 0, 0.2, 0.2, 0.2, 0].map(Math.log);
    const candidates = candidatesOf(row);
    new TypicalProcessor(0.5).apply(candidates);
    expect(idsOf(candidates)).toEqual([2, 3, 4]);
  });

  it('top_n_sigma keeps what is near the maximum, whatever the scale', () => {
    const row = [10, 9.5, 4, 3, 2, 1, NEGATIVE_INFINITY];
    // Mean 4.9167, sigma 3.5405 over the six finite logits: the limit is 6.4595.
    for (const scale of [1, 0.01, 1000]) {
      const candidates = candidatesOf(row.map((logit) => logit * scale));
      new TopNSigmaProcessor(1).apply(candidates);
      expect(idsOf(candidates)).toEqual([0, 1]);
    }
    const wide = candidatesOf(row);
    new TopNSigmaProcessor(2).apply(wide); // limit 2.9191
    expect(idsOf(wide)).toEqual([0, 1, 2, 3]);
    const infinite = candidatesOf([POSITIVE_INFINITY, 3]);
    new TopNSigmaProcessor(2).apply(infinite);
    expect(idsOf(infinite)).toEqual([0]);
  });

  it('xtc bans all likely tokens but the least likely, as often as told', () => {
    const row = [0.4, 0.3, 0.2, 0.1].map(Math.log);
    const rng = Rng.fromSeed(5);
    let numBanned = 0;
    for (let i = 0; i < 2000; i++) {
      const candidates = candidatesOf(row);
      new XtcProcessor(0.3, 0.15).apply(candidates, { ...contextOf(), rng });
      const left = idsOf(candidates).filter((place) => candidates.logits[place] !== NEGATIVE_INFINITY);
      if (left.length === 4) continue;
      expect(left).toEqual([2, 3]);
      numBanned += 1;
    }
    expect(Math.abs(numBanned - 600)).toBeLessThan(5 * Math.sqrt(2000 * 0.3 * 0.7));
    const lonely = candidatesOf([0.9, 0.05, 0.05].map(Math.log));
    new XtcProcessor(1, 0.1).apply(lonely, contextOf());
    expect([...lonely.logits]).toEqual([0.9, 0.05, 0.05].map(Math.log));
  });
});

describe('temperature', () => {
  it('divides the logits', () => {
    fc.assert(
      fc.property(logitRows, fc.double({ min: 0.01, max: 100, noNaN: true }), (row, temperature) => {
        const candidates = candidatesOf(row);
        new TemperatureProcessor(temperature).apply(candidates);
        candidates.softmax();
        const max = Math.max(...row);
        naiveSoftmax(row.map((logit) => (logit - max) / temperature)).forEach((prob, id) => {
          expect(candidates.probs[id]).toBeCloseTo(prob, 12);
        });
      }),
    );
  });

  it.each([0, 1e-300, Number.MIN_VALUE])('of %s leaves the maximum only', (temperature) => {
    const candidates = candidatesOf([1, 5, -1e30, NEGATIVE_INFINITY]);
    new TemperatureProcessor(temperature).apply(candidates);
    candidates.softmax();
    expect([...candidates.probs]).toEqual([0, 1, 0, 0]);
  });

  it('of 0 chooses the lowest id among equals', () => {
    const candidates = candidatesOf([1, 5, 5]);
    new TemperatureProcessor(0).apply(candidates);
    candidates.softmax();
    expect([...candidates.probs]).toEqual([0, 1, 0]);
  });

  it('leaves +Infinity alone', () => {
    const candidates = candidatesOf([POSITIVE_INFINITY, 1]);
    new TemperatureProcessor(2).apply(candidates);
    candidates.softmax();
    expect([...candidates.probs]).toEqual([1, 0]);
  });
});

describe('edits', () => {
  it('logit_bias adds, and -Infinity bans even +Infinity', () => {
    const candidates = candidatesOf([1, 2, POSITIVE_INFINITY, 4]);
    new LogitBiasProcessor([
      { tokenId: 0, bias: 5 },
      { tokenId: 2, bias: NEGATIVE_INFINITY },
    ]).apply(candidates);
    expect([...candidates.logits]).toEqual([6, 2, NEGATIVE_INFINITY, 4]);
  });

  it('min_tokens bans the ends until enough was generated', () => {
    const minTokens = new MinTokensProcessor(2, [1, 3]);
    const early = candidatesOf([1, 2, 3, 4]);
    minTokens.apply(early, contextOf([0], [0, 0, 0]));
    expect([...early.logits]).toEqual([1, NEGATIVE_INFINITY, 3, NEGATIVE_INFINITY]);
    const late = candidatesOf([1, 2, 3, 4]);
    minTokens.apply(late, contextOf([0, 0], [0, 0, 0]));
    expect([...late.logits]).toEqual([1, 2, 3, 4]);
  });

  it('edits skip tokens that were dropped', () => {
    const candidates = candidatesOf([1, 2, 3]);
    candidates.dropBelow(2);
    new LogitBiasProcessor([{ tokenId: 0, bias: 9 }]).apply(candidates);
    new MinTokensProcessor(9, [0]).apply(candidates, contextOf());
    new PenaltiesProcessor({ repetition: 2, frequency: 1, presence: 1, lastN: -1 }).apply(candidates, contextOf([0]));
    expect([...candidates.logits.subarray(0, candidates.size)]).toEqual([2, 3]);
  });
});

describe('penalties', () => {
  const tokens = fc.array(fc.nat(9), { maxLength: 30 });
  const logits = fc.array(fc.double({ min: -9, max: 9, noNaN: true }), { minLength: 10, maxLength: 10 });

  it('follow the formula', () => {
    const strength = fc.record({
      repetition: fc.double({ min: 0.1, max: 3, noNaN: true }),
      frequency: fc.double({ min: -2, max: 2, noNaN: true }),
      presence: fc.double({ min: -2, max: 2, noNaN: true }),
      lastN: fc.integer({ min: -1, max: 40 }),
    });
    fc.assert(
      fc.property(logits, tokens, tokens, strength, (row, prompt, generated, penalties) => {
        const candidates = candidatesOf(row);
        new PenaltiesProcessor(penalties).apply(candidates, contextOf(generated, prompt));
        const all = [...prompt.map((id) => ({ id, isNew: false })), ...generated.map((id) => ({ id, isNew: true }))];
        const recent = penalties.lastN === -1 ? all : all.slice(Math.max(0, all.length - penalties.lastN));
        row.forEach((logit, id) => {
          let expected = logit;
          if (recent.some((token) => token.id === id)) {
            expected = logit > 0 ? logit / penalties.repetition : logit * penalties.repetition;
          }
          const count = recent.filter((token) => token.id === id && token.isNew).length;
          if (count > 0) expected = expected - count * penalties.frequency - penalties.presence;
          expect(candidates.logits[id]).toBe(expected);
        });
      }),
    );
  });

  it('leave the scratch marks clean', () => {
    const candidates = candidatesOf([1, 1, 1]);
    const processor = new PenaltiesProcessor({ repetition: 2, frequency: 0, presence: 0, lastN: -1 });
    processor.apply(candidates, contextOf([0, 0], [1]));
    expect([...candidates.marks]).toEqual([0, 0, 0]);
    expect(() => processor.apply(candidates, contextOf([0, 3]))).toThrow(InvalidArgumentError);
    expect(() => processor.apply(candidates, contextOf([0, -1]))).toThrow(/vocabulary ends at 2/);
    expect([...candidates.marks]).toEqual([0, 0, 0]);
  });
});
