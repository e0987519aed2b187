import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError, NonFiniteLogitsError, ShapeError } from '../../../engine/errors.ts';
import { argmax } from '../../../engine/sampling/argmax.ts';
import { Candidates } from '../../../engine/sampling/candidates.ts';
import type { LogitsProcessor } from '../../../engine/sampling/logits-processor.ts';
import { buildProcessorChain } from '../../../engine/sampling/processor-chain.ts';
import { randomSeed } from '../../../engine/sampling/random-seed.ts';
import { Sampler, type SamplerOptions } from '../../../engine/sampling/sampler.ts';
import type { SamplingOptions } from '../../../engine/sampling/sampling-options.ts';
import { resolveSamplingParams } from '../../../engine/sampling/sampling-params.ts';
import type { TokenHistory } from '../../../engine/sampling/token-history.ts';
import { Rng } from '../../../engine/util/rng.ts';
import { contextOf, floatRows, naiveSoftmax } from './naive-sampling.ts';

const { NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;
const EMPTY = contextOf().history;

function samplerOf(vocabSize: number, options: SamplingOptions, more: Partial<SamplerOptions> = {}): Sampler {
  const params = resolveSamplingParams(options);
  return new Sampler({ params, candidates: new Candidates(vocabSize), seed: params.seed ?? 1, ...more });
}

function drawMany(sampler: Sampler, row: Float32Array, count: number, history: TokenHistory = EMPTY): number[] {
  return Array.from({ length: count }, () => sampler.sample(row, history).tokenId);
}

function gaussianRow(size: number, seed: number): Float32Array {
  const rng = Rng.fromSeed(seed);
  return Float32Array.from({ length: size }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - rng.nextFloat())); // Box-Muller
    return 3 * radius * Math.cos(2 * Math.PI * rng.nextFloat());
  });
}

/** Pearson's chi-square of observed counts against probabilities, and its 99.9999% quantile for the degrees of freedom
 * (Wilson & Hilferty 1931). Seeds are fixed: this passes or fails, it does not flicker. */
function expectFrequencies(tokens: readonly number[], probs: readonly number[]): void {
  let chiSquare = 0;
  let numPossible = 0;
  probs.forEach((prob, id) => {
    const observed = tokens.filter((token) => token === id).length;
    if (prob === 0) {
      expect(observed).toBe(0);
      return;
    }
    const expected = prob * tokens.length;
    chiSquare += (observed - expected) ** 2 / expected;
    numPossible += 1;
  });
  const freedom = Math.max(1, numPossible - 1);
  const limit = freedom * (1 - 2 / (9 * freedom) + 4.75 * Math.sqrt(2 / (9 * freedom))) ** 3;
  expect(chiSquare).toBeLessThan(limit);
}

describe('greedy choice', () => {
  it('is the highest logit, the lowest id among equals, NaN passed over', () => {
    fc.assert(
      fc.property(floatRows, fc.array(fc.nat(59), { maxLength: 5 }), (original, nanPlaces) => {
        const row = original.slice();
        for (const place of nanPlaces) if (place < row.length) row[place] = Number.NaN;
        const finite = [...row].filter((logit) => logit > NEGATIVE_INFINITY);
        fc.pre(finite.length > 0);
        const expected = row.indexOf(Math.max(...finite));
        expect(samplerOf(row.length, { temperature: 0 }).sample(row, EMPTY)).toEqual({ tokenId: expected });
        // The long way round, through the candidates, agrees.
        const edited = samplerOf(row.length, { temperature: 0, logit_bias: { 0: 0 } });
        expect(edited.sample(row, EMPTY).tokenId).toBe(expected);
      }),
    );
  });

  it('ignores the filters but heeds bias, penalties, min_tokens and masks', () => {
    const row = Float32Array.of(5, 4, 3, 2);
    const filters = { typical_p: 0, top_k: 1, xtc_probability: 1, xtc_threshold: 0, top_p: 0 };
    const choose = (options: SamplingOptions, more: Partial<SamplerOptions> = {}, history = EMPTY) =>
      samplerOf(4, { temperature: 0, ...options }, more).sample(row, history).tokenId;
    expect(choose(filters)).toBe(0);
    expect(choose({ logit_bias: { 0: -100 } })).toBe(1);
    expect(choose({ logit_bias: { 3: 50 } })).toBe(3);
    expect(choose({ repetition_penalty: 2 }, {}, contextOf([], [0]).history)).toBe(1);
    expect(choose({ frequency_penalty: 1 }, {}, contextOf([0, 0]).history)).toBe(1);
    expect(choose({ min_tokens: 1 }, { eogTokenIds: [0] })).toBe(1);
    expect(choose({ min_tokens: 1, stop_token_ids: [1] }, { eogTokenIds: [0] })).toBe(2);
    expect(choose({ min_tokens: 1, ignore_eos: true }, { eogTokenIds: [0] })).toBe(0);
    const onlyThree: LogitsProcessor = {
      name: 'grammar',
      apply: (candidates) => candidates.logits.fill(NEGATIVE_INFINITY, 0, 3),
    };
    expect(choose({}, { masks: [onlyThree] })).toBe(3);
  });
});

describe('drawing', () => {
  const row = Float32Array.from([0.05, 0.3, 0.15, 0.1, 0.25, 0.15], Math.log);
  const probs = naiveSoftmax([...row]);
  const renormalized = (keep: (id: number) => boolean) => {
    const kept = probs.map((prob, id) => (keep(id) ? prob : 0));
    const sum = kept.reduce((a, b) => a + b);
    return kept.map((prob) => prob / sum);
  };

  it.each<[SamplingOptions, number[]]>([
    [{}, probs],
    [{ temperature: 0.5 }, naiveSoftmax([...row].map((logit) => logit / 0.5))],
    [{ temperature: 2 }, naiveSoftmax([...row].map((logit) => logit / 2))],
    [{ top_k: 2 }, renormalized((id) => id === 1 || id === 4)],
    [{ top_p: 0.5 }, renormalized((id) => id === 1 || id === 4)],
    [{ min_p: 0.45 }, renormalized((id) => probs[id]! >= 0.135)],
    [{ logit_bias: { 1: -100 } }, renormalized((id) => id !== 1)],
    [{ top_k: 4, top_p: 0.9, min_p: 0.1, temperature: 1 }, renormalized((id) => [1, 2, 4, 5].includes(id))],
  ])('follows the probabilities: %j', (options, expected) => {
    expectFrequencies(drawMany(samplerOf(6, { ...options, seed: 11 }), row, 20_000), expected);
  });

  it('filters see the probabilities before temperature', () => {
    // At temperature 5 the two likeliest would no longer reach half.
    const tokens = drawMany(samplerOf(6, { temperature: 5, top_p: 0.5, seed: 3 }), row, 500);
    expect(new Set(tokens)).toEqual(new Set([1, 4]));
  });

  it('orders the chain as documented', () => {
    const params = resolveSamplingParams({
      logit_bias: { 0: 1 },
      min_tokens: 1,
      presence_penalty: 1,
      top_n_sigma: 1,
      top_k: 1,
      typical_p: 0.5,
      top_p: 0.5,
      min_p: 0.5,
      xtc_probability: 0.5,
      temperature: 0.5,
    });
    const mask: LogitsProcessor = { name: 'grammar', apply: () => {} };
    const { edits, filters } = buildProcessorChain(params, [0], [mask]);
    expect(edits.map(({ name }) => name)).toEqual(['logit_bias', 'min_tokens', 'penalties', 'grammar']);
    expect(filters.map(({ name }) => name)).toEqual([
      'top_n_sigma',
      'top_k',
      'typical_p',
      'top_p',
      'min_p',
      'xtc',
      'temperature',
    ]);
  });

  it('builds nothing for options that change nothing', () => {
    const params = resolveSamplingParams({ top_k: -1, repetition_penalty: 2, repeat_last_n: 0, min_tokens: 5 });
    expect(buildProcessorChain(params, [])).toEqual({ edits: [], filters: [] });
  });

  it('never chooses a token without probability', () => {
    fc.assert(
      fc.property(floatRows, fc.maxSafeInteger(), (logits, seed) => {
        const { tokenId } = samplerOf(logits.length, { seed, top_p: 0.9, temperature: 3 }).sample(logits, EMPTY);
        expect(logits[tokenId]).toBeGreaterThan(NEGATIVE_INFINITY);
      }),
    );
  });

  it('leaves the row as it is', () => {
    const before = Float32Array.of(1, Number.NaN, 3);
    const logits = before.slice();
    drawMany(samplerOf(3, { temperature: 0.7, top_k: 2, repetition_penalty: 2 }), logits, 3, contextOf([0, 2]).history);
    expect(logits).toEqual(before);
  });
});

describe('seeds', () => {
  const row = gaussianRow(200, 1);
  const options: SamplingOptions = { temperature: 1.5, top_p: 0.95 };

  it('the same seed gives the same tokens, another seed others', () => {
    const run = (seed: number) => drawMany(samplerOf(200, { ...options, seed }), row, 50);
    expect(run(5)).toEqual(run(5));
    expect(run(5)).not.toEqual(run(6));
    expect(run(-5)).not.toEqual(run(5));
  });

  it('completions of one request differ, and each is repeatable', () => {
    const run = (completionIndex: number) =>
      drawMany(samplerOf(200, { ...options, seed: 5 }, { completionIndex }), row, 50);
    expect(run(0)).toEqual(drawMany(samplerOf(200, { ...options, seed: 5 }), row, 50));
    expect(run(1)).not.toEqual(run(0));
    expect(run(1)).toEqual(run(1));
  });

  it('samplers that share candidates do not disturb each other', () => {
    const candidates = new Candidates(200);
    const rows = [gaussianRow(200, 2), gaussianRow(200, 3), gaussianRow(200, 4)];
    const allOptions: SamplingOptions[] = [
      { seed: 1, top_k: 5, repetition_penalty: 1.5 },
      { seed: 2, temperature: 2, frequency_penalty: 1 },
      { seed: 3, typical_p: 0.5, logprobs: 3 },
    ];
    const run = (sampler: Sampler, row: Float32Array, tokens: number[]) => {
      const sampled = sampler.sample(row, { tokenIds: tokens, numTokens: tokens.length, numPromptTokens: 0 });
      tokens.push(sampled.tokenId);
    };
    const alone = allOptions.map((own, i) => {
      const sampler = samplerOf(200, own);
      const tokens: number[] = [];
      for (let step = 0; step < 30; step++) run(sampler, rows[i]!, tokens);
      return tokens;
    });
    const samplers = allOptions.map((own) => samplerOf(200, own, { candidates }));
    const together: number[][] = [[], [], []];
    const order = Rng.fromSeed(9);
    for (let step = 0; step < 30; step++) {
      const first = order.nextUint32() % 3;
      for (let i = 0; i < 3; i++) {
        const which = (first + i) % 3;
        run(samplers[which]!, rows[which]!, together[which]!);
      }
    }
    expect(together).toEqual(alone);
  });

  it('a greedy choice draws no random number, any other exactly one', () => {
    // Same seed: the second token of a run does not depend on how many candidates the first had.
    const run = (first: number) => {
      const sampler = samplerOf(200, { seed: 8, temperature: 2 });
      const peaked = new Float32Array(200).fill(NEGATIVE_INFINITY);
      peaked[first] = 0;
      sampler.sample(first < 0 ? row : peaked, EMPTY);
      return sampler.sample(row, EMPTY).tokenId;
    };
    expect(run(3)).toBe(run(-1));
  });

  it('random seeds are valid seeds, and not the same', () => {
    const seeds = Array.from({ length: 20 }, randomSeed);
    expect(seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0)).toBe(true);
    expect(new Set(seeds).size).toBe(20);
    expect(samplerOf(1, {}, { seed: seeds[0]! }).seed).toBe(seeds[0]);
  });
});

describe('log-probabilities', () => {
  it("are the model's, whatever the processors did", () => {
    const row = Float32Array.from([0.5, 0.3, 0.2], Math.log);
    const sampler = samplerOf(3, {
      logit_bias: { 0: -100 },
      top_k: 1,
      temperature: 0.1,
      logprobs: true,
      top_logprobs: 2,
    });
    const { tokenId, logprob, topLogprobs } = sampler.sample(row, EMPTY);
    expect(tokenId).toBe(1);
    expect(logprob).toBeCloseTo(Math.log(0.3), 6);
    expect(topLogprobs?.map((top) => top.tokenId)).toEqual([0, 1]);
    expect(topLogprobs?.[0]?.logprob).toBeCloseTo(Math.log(0.5), 6);
  });

  it('come with no list when none is asked for, and not at all by default', () => {
    const row = Float32Array.of(1, 2);
    expect(samplerOf(2, { logprobs: true, temperature: 0 }).sample(row, EMPTY).topLogprobs).toEqual([]);
    expect(samplerOf(2, { temperature: 0 }).sample(row, EMPTY)).toEqual({ tokenId: 1 });
  });
});

describe('broken logits', () => {
  const allOptions: SamplingOptions[] = [
    { temperature: 0 },
    {},
    { top_p: 0.5, typical_p: 0.5, top_k: 2, min_p: 0.1, top_n_sigma: 1 },
  ];

  it.each(allOptions)("all NaN or -Infinity is the model's fault: %j", (options) => {
    const sample = () =>
      samplerOf(3, options).sample(Float32Array.of(Number.NaN, NEGATIVE_INFINITY, Number.NaN), EMPTY);
    expect(sample).toThrow(NonFiniteLogitsError);
    expect(sample).toThrow(/the model gave no finite logit \(2 NaN, 1 -Infinity\)/);
  });

  it.each(allOptions)("everything banned is the request's: %j", (options) => {
    const sampler = samplerOf(2, { ...options, logit_bias: { 0: -100, 1: NEGATIVE_INFINITY } });
    expect(() => sampler.sample(Float32Array.of(1, 2), EMPTY)).toThrow(/together ban every token/);
  });

  it.each(allOptions)('+Infinity is certain, NaN never chosen: %j', (options) => {
    const row = Float32Array.of(Number.NaN, 3, POSITIVE_INFINITY, Number.NaN);
    expect(new Set(drawMany(samplerOf(4, options), row, 20))).toEqual(new Set([2]));
  });

  it('works again after an error', () => {
    const candidates = new Candidates(2);
    const sampler = samplerOf(2, { repetition_penalty: 1.1 }, { candidates });
    expect(() => sampler.sample(Float32Array.of(Number.NaN, Number.NaN), EMPTY)).toThrow(NonFiniteLogitsError);
    expect(sampler.sample(Float32Array.of(9, Number.NaN), EMPTY).tokenId).toBe(0);
  });

  it('refuses rows of another size and token ids that do not exist', () => {
    expect(() => samplerOf(3, {}).sample(new Float32Array(2), EMPTY)).toThrow(ShapeError);
    expect(() => samplerOf(3, { logit_bias: { 3: 1 } })).toThrow(InvalidArgumentError);
    expect(() => samplerOf(3, { stop_token_ids: [3] })).toThrow(/token 3 does not exist, the last one is 2/);
    expect(() => samplerOf(3, {}, { seed: 0.5 })).toThrow(InvalidArgumentError);
  });

  it('argmax of nothing is -1', () => {
    expect(argmax(new Float32Array(0))).toBe(-1);
    expect(argmax(Float32Array.of(1, 5, 9), 2)).toBe(1);
  });
});

describe('a vocabulary of 128,256', () => {
  const vocabSize = 128_256;
  const row = gaussianRow(vocabSize, 7);
  const history = {
    tokenIds: Int32Array.from({ length: 1000 }, (_, i) => i * 7),
    numTokens: 1000,
    numPromptTokens: 10,
  };

  it('allocates its arrays once', () => {
    const sampler = samplerOf(vocabSize, {
      top_k: 1000,
      typical_p: 0.9,
      top_p: 0.9,
      min_p: 0.01,
      temperature: 0.8,
      repetition_penalty: 1.1,
      top_n_sigma: 3,
    });
    sampler.sample(row, history);
    const before = process.memoryUsage().arrayBuffers;
    drawMany(sampler, row, 50, history);
    // One copy of the row per token would be 25 MB.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });

  it('counts its bytes', () => {
    const { byteLength } = new Candidates(vocabSize);
    expect(byteLength).toBeGreaterThan(vocabSize * (4 + 8 + 8 + 8 + 4 + 2 + 4));
    expect(byteLength).toBeLessThan(vocabSize * 38 + 100_000);
  });

  it('keeps the same tokens as the plain way', () => {
    const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
    const candidates = new Candidates(vocabSize);
    candidates.load(row);
    candidates.keepBest(candidates.logits, undefined, 500);
    expect([...candidates.ids.subarray(0, candidates.size)]).toEqual(order.slice(0, 500).sort((a, b) => a - b));
  });
});
