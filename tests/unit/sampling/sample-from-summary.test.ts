/** A summary of a row gives the very token that the whole row gives, or none. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Candidates } from '../../../engine/sampling/candidates.ts';
import type { SummarySupport } from '../../../engine/sampling/row-summary.ts';
import { runSampleJob } from '../../../engine/sampling/run-sample-job.ts';
import type { SampledToken } from '../../../engine/sampling/sampled-token.ts';
import { Sampler } from '../../../engine/sampling/sampler.ts';
import type { SamplingOptions } from '../../../engine/sampling/sampling-options.ts';
import { resolveSamplingParams } from '../../../engine/sampling/sampling-params.ts';
import { Rng } from '../../../engine/util/rng.ts';
import { contextOf } from './naive-sampling.ts';
import { ALL, summaryOf } from './row-summaries.ts';

const { NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;

/** From now and then to always: each option that takes part in sampling. */
const options: fc.Arbitrary<SamplingOptions> = fc.record(
  {
    temperature: fc.oneof(fc.constantFrom(0, 0.7, 1), fc.double({ min: 0.01, max: 5, noNaN: true })),
    top_k: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(0, 600)),
    top_p: fc.double({ min: 0, max: 1, noNaN: true }),
    min_p: fc.double({ min: 0, max: 1, noNaN: true }),
    typical_p: fc.constantFrom(0.5, 1),
    top_n_sigma: fc.constantFrom(-1, 1),
    xtc_probability: fc.constantFrom(0, 0.5),
    logit_bias: fc.dictionary(fc.nat(39).map(String), fc.constantFrom(-100, -1, 0.5, 30, 100), { maxKeys: 4 }),
    repetition_penalty: fc.constantFrom(0.5, 1.3),
    frequency_penalty: fc.constantFrom(-1, 0.5),
    repeat_last_n: fc.constantFrom(-1, 3),
    min_tokens: fc.constantFrom(0, 1000),
    logprobs: fc.constantFrom(0, 3),
  },
  { requiredKeys: [] },
);

const levels = fc.constantFrom(1, 3, 1e6);
const special = fc.constantFrom(0, Number.NaN, NEGATIVE_INFINITY, POSITIVE_INFINITY);

/** Rows longer than a segment now and then; few levels make ties, NaN and infinities trouble. */
const rows: fc.Arbitrary<Float32Array> = fc
  .record({
    size: fc.oneof(fc.integer({ min: 40, max: 200 }), fc.integer({ min: 500, max: 1600 })),
    scale: fc.constantFrom(0.01, 2, 12),
    levels,
    special,
    numSpecial: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 })),
    seed: fc.nat(),
  })
  .map(({ size, scale, levels, special, numSpecial, seed }) => {
    const rng = Rng.fromSeed(seed);
    const row = Float32Array.from(
      { length: size },
      () => (Math.round((2 * rng.nextFloat() - 1) * levels) / levels) * scale,
    );
    for (let i = 0; i < numSpecial; i++) row[Math.floor(rng.nextFloat() * size)] = special;
    return row;
  });

const histories = fc
  .tuple(fc.array(fc.nat(39), { maxLength: 12 }), fc.array(fc.nat(39), { maxLength: 12 }))
  .map(([generated, prompt]) => contextOf(generated, prompt).history);

function samplerOf(vocabSize: number, given: SamplingOptions, seed: number): Sampler {
  const params = resolveSamplingParams(given);
  return new Sampler({ params, candidates: new Candidates(vocabSize), seed, eogTokenIds: [0, 5] });
}

describe('sampleFrom', () => {
  it('chooses what sample chooses, and draws as many random numbers', () => {
    let numAsked = 0;
    let numCertain = 0;
    fc.assert(
      fc.property(
        fc.array(rows, { minLength: 1, maxLength: 4 }),
        options,
        histories,
        fc.nat(),
        (all, given, history, seed) => {
          const sized = all.filter(({ length }) => length === all[0]!.length);
          const [whole, summarized] = [0, 1].map(() => samplerOf(sized[0]!.length, given, seed)) as [Sampler, Sampler];
          const needs = summarized.summaryNeeds(ALL);
          if (needs === undefined) return;
          const noise = Rng.fromSeed(seed);
          for (const row of sized) {
            // As far off as a backend may be.
            const summary = summaryOf(row, needs, () => 1 + (2 * noise.nextFloat() - 1) * 2 ** -44);
            let expected: number;
            try {
              expected = whole.sample(row, history).tokenId;
            } catch {
              expect(summarized.sampleFrom(summary, history)).toBeUndefined();
              return;
            }
            numAsked += 1;
            const sampled = summarized.sampleFrom(summary, history);
            if (sampled !== undefined) numCertain += 1;
            expect((sampled ?? summarized.sample(row, history, summary)).tokenId).toBe(expected);
          }
        },
      ),
      { numRuns: 20 * fc.readConfigureGlobal().numRuns! },
    );
    // A summary that never says anything would pass as well.
    expect(numCertain / numAsked).toBeGreaterThan(0.6);
  });

  it('equal logits at the edge of what is known come in the order of their ids, touched by an edit or not', () => {
    // More equals than a summary lists. Tokens 0 and 290 are touched and stay as they are: 0 comes before all the others,
    // and before 290 come some that are not known.
    const row = new Float32Array(300);
    for (const tokenIds of [[0], [290], [0, 290]]) {
      const history = { tokenIds, numTokens: tokenIds.length, numPromptTokens: tokenIds.length };
      const sampler = samplerOf(row.length, { top_p: 0, frequency_penalty: -1 }, 1);
      const summary = summaryOf(row, sampler.summaryNeeds(ALL)!);
      expect(sampler.sampleFrom(summary, history)).toEqual({ tokenId: 0 });
    }
    // Nearly all are in the nucleus, but not 290: which they are cannot be told.
    const sampler = samplerOf(row.length, { top_p: 0.9, frequency_penalty: -1 }, 1);
    const summary = summaryOf(row, sampler.summaryNeeds(ALL)!);
    const history = { tokenIds: [290], numTokens: 1, numPromptTokens: 1 };
    expect(sampler.sampleFrom(summary, history)).toBeUndefined();
  });

  const commonOptions: SamplingOptions[] = [
    { temperature: 0 },
    { temperature: 0, repetition_penalty: 1.2 },
    { temperature: 0.8, top_k: 40 },
    { top_k: 20, top_p: 0.8, repetition_penalty: 1.05 },
    { top_p: 0.9 },
    { top_p: 0.9, frequency_penalty: 0.5 },
    { min_p: 0.05, logprobs: 3 },
    {},
    { temperature: 0.7, repetition_penalty: 1.1 },
    { temperature: 1.5, logit_bias: { 7: -100, 8: 2 } },
  ];

  it.each(commonOptions)('a row as models give them needs no more than its summary: %j', (given) => {
    const vocabSize = 5000;
    const rng = Rng.fromSeed(3);
    const history = contextOf(Array.from({ length: 64 }, (_, i) => 3 * i)).history;
    const sampler = samplerOf(vocabSize, given, 1);
    for (let i = 0; i < 10; i++) {
      // Many unlikely tokens and a few likely ones, some of which were there already.
      const row = Float32Array.from({ length: vocabSize }, () => 4 * (rng.nextFloat() + rng.nextFloat()));
      for (let n = 0; n < 30; n++)
        row[Math.floor(rng.nextFloat() * (n < 15 ? 192 : vocabSize))] = 12 + 4 * rng.nextFloat();
      const summary = summaryOf(row, sampler.summaryNeeds(ALL)!);
      expect(sampler.sampleFrom(summary, history)).toBeDefined();
    }
  });

  it('is not asked for what cannot be had, nor by requests that need whole rows', () => {
    const needs = (given: SamplingOptions, support = ALL) => samplerOf(100, given, 1).summaryNeeds(support);
    const onlyBest: SummarySupport = { maxTop: 1, sums: false, rows: false };
    expect(needs({ temperature: 0 }, onlyBest)).toEqual({ numTop: 1, temperatures: [] });
    expect(needs({ temperature: 0, repetition_penalty: 1.1 }, onlyBest)).toBeUndefined();
    expect(needs({ temperature: 0, logprobs: true }, onlyBest)).toBeUndefined();
    expect(needs({ top_k: 2 }, onlyBest)).toBeUndefined();
    expect(needs({}, onlyBest)).toBeUndefined();
    expect(needs({ temperature: 0.5, logprobs: 2 })).toEqual({ numTop: 2, temperatures: [1, 0.5] });
    for (const given of [{ typical_p: 0.5 }, { top_n_sigma: 1 }, { xtc_probability: 0.1 }, { temperature: 1e-320 }]) {
      expect(needs(given)).toBeUndefined();
    }
  });

  it('gives the log-probabilities of the whole row, but for the last bits', () => {
    const row = Float32Array.from([3, Number.NaN, 5, 5, NEGATIVE_INFINITY, 1, 4, 2]);
    const sampler = samplerOf(8, { temperature: 0, logprobs: 8, logit_bias: { 5: 100 } }, 1);
    const summary = summaryOf(row, sampler.summaryNeeds(ALL)!);
    const [actual, expected] = [
      sampler.sampleFrom(summary, contextOf().history)!,
      sampler.sample(row, contextOf().history),
    ];
    expect(actual.logprob).toBeCloseTo(expected.logprob!, 12);
    expect(actual.topLogprobs!.map(({ tokenId }) => tokenId)).toEqual([2, 3, 6, 0, 7, 5]);
    for (const [i, { tokenId, logprob }] of expected.topLogprobs!.entries()) {
      expect(actual.topLogprobs![i]!.tokenId).toBe(tokenId);
      expect(actual.topLogprobs![i]!.logprob).toBeCloseTo(logprob, 12);
    }
    // To the last bit, whichever way the token was chosen.
    expect(sampler.sample(row, contextOf().history, summary)).toEqual(actual);
  });
});

describe('a job for another thread', () => {
  it('gives the token and the random numbers that sampling here gives, over many rows', () => {
    fc.assert(
      fc.property(
        fc.array(rows, { minLength: 1, maxLength: 3 }),
        options,
        histories,
        fc.nat(),
        (all, given, history, seed) => {
          const sized = all.filter(({ length }) => length === all[0]!.length);
          const vocabSize = sized[0]!.length;
          const [here, there] = [0, 1].map(() => samplerOf(vocabSize, given, seed)) as [Sampler, Sampler];
          const candidates = new Candidates(vocabSize);
          for (const row of sized) {
            // As a message between threads does.
            const job = structuredClone(there.jobFor(history)!);
            const result = structuredClone(runSampleJob(job, row, candidates));
            let expected: SampledToken;
            try {
              expected = here.sample(row, history);
            } catch {
              expect(result).toBe('nothing');
              return;
            }
            expect(result !== 'nothing' && there.takeOver(result, row)).toEqual(expected);
          }
          expect(there.rngState).toEqual(here.rngState);
        },
      ),
    );
  });

  it('cannot be when there are masks, which are code', () => {
    const masks = [{ name: 'grammar', apply: () => {} }];
    const params = resolveSamplingParams({});
    const sampler = new Sampler({ params, candidates: new Candidates(3), seed: 1, masks });
    expect(sampler.jobFor(contextOf().history)).toBeUndefined();
    expect(sampler.summaryNeeds(ALL)).toBeUndefined();
  });
});
