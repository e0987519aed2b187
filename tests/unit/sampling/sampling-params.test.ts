import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../engine/errors.ts';
import type { SamplingOptions } from '../../../engine/sampling/sampling-options.ts';
import { resolveSamplingParams } from '../../../engine/sampling/sampling-params.ts';

const { NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;

function resolve(options: unknown) {
  return resolveSamplingParams(options as SamplingOptions);
}

describe('resolveSamplingParams', () => {
  it('fills in the documented defaults', () => {
    const defaults = {
      maxTokens: POSITIVE_INFINITY,
      minTokens: 0,
      n: 1,
      seed: undefined,
      temperature: 1,
      topK: 0,
      topP: 1,
      minP: 0,
      typicalP: 1,
      topNSigma: -1,
      xtcProbability: 0,
      xtcThreshold: 0.1,
      repetitionPenalty: 1,
      frequencyPenalty: 0,
      presencePenalty: 0,
      repeatLastN: -1,
      logitBias: [],
      stop: [],
      includeStopInOutput: false,
      stopTokenIds: [],
      ignoreEos: false,
      logprobs: false,
      topLogprobs: 0,
    };
    expect(resolveSamplingParams()).toEqual(defaults);
    expect(resolve({ seed: null, stop: null, logit_bias: undefined, top_logprobs: null, temperature: null })).toEqual(
      defaults,
    );
  });

  it('takes every option', () => {
    const params = resolve({
      max_tokens: 10,
      min_tokens: 10,
      n: 128,
      seed: -(2 ** 53 - 1),
      temperature: 0,
      top_k: -1,
      top_p: 0,
      min_p: 1,
      typical_p: 0,
      top_n_sigma: 0,
      xtc_probability: 1,
      xtc_threshold: 0,
      repetition_penalty: 0.001,
      frequency_penalty: -2,
      presence_penalty: 2,
      repeat_last_n: 0,
      logit_bias: { 7: 100, 3: -100, 5: NEGATIVE_INFINITY, 2147483647: -99.5 },
      stop: ['a', '\u{1f600}'],
      include_stop_str_in_output: true,
      stop_token_ids: [0, 2 ** 31 - 1],
      ignore_eos: true,
      logprobs: true,
      top_logprobs: 20,
    });
    expect(params).toMatchObject({ maxTokens: 10, minTokens: 10, n: 128, seed: -(2 ** 53 - 1), temperature: 0 });
    expect(params.logitBias).toEqual([
      { tokenId: 3, bias: NEGATIVE_INFINITY },
      { tokenId: 5, bias: NEGATIVE_INFINITY },
      { tokenId: 7, bias: 100 },
      { tokenId: 2147483647, bias: -99.5 },
    ]);
    expect(params).toMatchObject({ stop: ['a', '\u{1f600}'], stopTokenIds: [0, 2 ** 31 - 1], topLogprobs: 20 });
  });

  it('is frozen, lists too, and keeps no hold of what the caller passed', () => {
    const stop = ['x'];
    const params = resolve({ stop, logit_bias: { 1: 2 }, stop_token_ids: [1] });
    stop.push('y');
    expect(params.stop).toEqual(['x']);
    for (const value of [params, params.stop, params.logitBias, params.stopTokenIds]) {
      expect(Object.isFrozen(value)).toBe(true);
    }
  });

  it('takes a single stop string', () => {
    expect(resolve({ stop: 'END' }).stop).toEqual(['END']);
  });

  it.each([
    [{ logprobs: false }, false, 0],
    [{ logprobs: true }, true, 0],
    [{ logprobs: true, top_logprobs: 3 }, true, 3],
    [{ logprobs: 0 }, true, 0],
    [{ logprobs: 5 }, true, 5],
    [{ logprobs: 5, top_logprobs: 5 }, true, 5],
  ])('reads log-probabilities in either style: %j', (options, logprobs, topLogprobs) => {
    expect(resolve(options)).toMatchObject({ logprobs, topLogprobs });
  });

  it.each<[unknown, RegExp]>([
    [{ max_tokens: 0 }, /^max_tokens: must be a whole number from 1, got 0$/],
    [{ max_tokens: 1.5 }, /^max_tokens: .* got 1.5$/],
    [{ max_tokens: POSITIVE_INFINITY }, /^max_tokens: /],
    [{ min_tokens: 5, max_tokens: 4 }, /^min_tokens: must not exceed max_tokens \(4\), got 5$/],
    [{ min_tokens: -1 }, /^min_tokens: /],
    [{ n: 0 }, /^n: must be a whole number from 1 to 128, got 0$/],
    [{ n: 129 }, /^n: /],
    [{ seed: 0.5 }, /^seed: must be a whole number, got 0.5$/],
    [{ seed: '1' }, /^seed: must be a whole number, got "1"$/],
    [{ seed: 2 ** 53 }, /^seed: /],
    [{ temperature: -0.1 }, /^temperature: must be a number from 0, got -0.1$/],
    [{ temperature: Number.NaN }, /^temperature: must be a number from 0, got NaN$/],
    [{ temperature: POSITIVE_INFINITY }, /^temperature: /],
    [{ temperature: 'hot' }, /^temperature: must be a number from 0, got "hot"$/],
    [{ temperature: 1n }, /^temperature: .* got 1$/],
    [{ top_k: -2 }, /^top_k: must be a whole number from -1, got -2$/],
    [{ top_p: 1.01 }, /^top_p: must be a number from 0 to 1, got 1.01$/],
    [{ min_p: -1 }, /^min_p: /],
    [{ typical_p: 2 }, /^typical_p: /],
    [{ top_n_sigma: -2 }, /^top_n_sigma: /],
    [{ xtc_probability: 2 }, /^xtc_probability: /],
    [{ xtc_threshold: [] }, /^xtc_threshold: .* got an array$/],
    [{ repetition_penalty: 0 }, /^repetition_penalty: must be a number above 0, got 0$/],
    [{ frequency_penalty: 2.5 }, /^frequency_penalty: must be a number from -2 to 2, got 2.5$/],
    [{ presence_penalty: -3 }, /^presence_penalty: /],
    [{ repeat_last_n: -2 }, /^repeat_last_n: /],
    [{ logit_bias: [[1, 2]] }, /^logit_bias: must be an object from token id to bias, got an array$/],
    [{ logit_bias: { the: 1 } }, /^logit_bias: keys must be token ids, got "the"$/],
    [{ logit_bias: { '-1': 1 } }, /^logit_bias: /],
    [{ logit_bias: { '1.5': 1 } }, /^logit_bias: /],
    [{ logit_bias: { 2147483648: 1 } }, /^logit_bias: /],
    [{ logit_bias: { 1: 101 } }, /^logit_bias\[1\]: must be a number from -100 to 100, got 101$/],
    [{ logit_bias: { 1: Number.NaN } }, /^logit_bias\[1\]: /],
    [{ logit_bias: { 1: POSITIVE_INFINITY } }, /^logit_bias\[1\]: /],
    [{ logit_bias: { 1: null } }, /^logit_bias\[1\]: .* got null$/],
    [{ stop: '' }, /^stop: must not be empty/],
    [{ stop: ['a', ''] }, /^stop: must not be empty/],
    [{ stop: 5 }, /^stop: must be a string or an array of strings, got 5$/],
    [{ stop: [['a']] }, /^stop: .* got an array$/],
    [{ stop: '\ud83d' }, /^stop: holds half a character/],
    [{ stop_token_ids: 5 }, /^stop_token_ids: must be an array of token ids, got 5$/],
    [{ stop_token_ids: [-1] }, /^stop_token_ids: /],
    [{ stop_token_ids: [null] }, /^stop_token_ids: .* got null$/],
    [{ ignore_eos: 'yes' }, /^ignore_eos: must be a boolean, got "yes"$/],
    [{ include_stop_str_in_output: 1 }, /^include_stop_str_in_output: /],
    [{ logprobs: 21 }, /^logprobs: must be a whole number from 0 to 20, got 21$/],
    [{ logprobs: 'x' }, /^logprobs: /],
    [{ top_logprobs: 2 }, /^top_logprobs: needs logprobs: true$/],
    [{ logprobs: 3, top_logprobs: 2 }, /^top_logprobs: contradicts logprobs: 3/],
    [5, /^sampling options: must be an object, got 5$/],
    [null, /^sampling options: must be an object, got null$/],
    [[], /^sampling options: must be an object, got an array$/],
  ])('refuses %o', (options, message) => {
    expect(() => resolve(options)).toThrow(InvalidArgumentError);
    expect(() => resolve(options)).toThrow(message);
  });

  it.each([
    ['temprature', 'temperature'],
    ['topP', 'top_p'],
    ['top-k', 'top_k'],
    ['maxTokens', 'max_tokens'],
    ['max_completion_tokens', 'max_tokens'],
    ['repeat_penalty', 'repetition_penalty'],
    ['penalty_last_n', 'repeat_last_n'],
    ['temp', 'temperature'],
    ['stops', 'stop'],
    ['logit_biass', 'logit_bias'],
  ])('knows what %s was meant to be', (given, meant) => {
    expect(() => resolve({ [given]: 1 })).toThrow(
      `sampling options: unknown option ${JSON.stringify(given)}; did you mean ${meant}?`,
    );
  });

  it.each(['banana', 'x', '', '__proto__', 'constructor', 'toString', 'y'.repeat(100_000)])(
    'lists the options for a name like nothing: %.20s',
    (given) => {
      expect(() => resolve(JSON.parse(`{${JSON.stringify(given)}:1}`))).toThrow(
        /unknown option .* there are max_tokens/,
      );
    },
  );

  it('does not look at inherited properties', () => {
    expect(resolve(Object.create({ temperature: 'hot' })).temperature).toBe(1);
  });

  it('either refuses or returns numbers in range, for anything', () => {
    const names = Object.keys({
      temperature: 0,
      top_p: 0,
      top_k: 0,
      n: 0,
      seed: 0,
      stop: 0,
      logit_bias: 0,
      logprobs: 0,
    });
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), fc.anything()), (options) => {
        let params: ReturnType<typeof resolve>;
        try {
          params = resolve(options);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidArgumentError);
          return;
        }
        expect(params.temperature).toBeGreaterThanOrEqual(0);
        expect(params.topP).toBeGreaterThanOrEqual(0);
        expect(params.topP).toBeLessThanOrEqual(1);
        expect(Number.isSafeInteger(params.topK) && params.topK >= -1).toBe(true);
        expect(params.stop.every((stop) => typeof stop === 'string' && stop !== '')).toBe(true);
      }),
    );
  });
});
