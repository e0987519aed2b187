/** Turns a request's sampling options into checked parameters: complete, frozen, in the engine's own names.
 * Pure: a missing seed stays missing; the caller chooses one. */
import { InvalidArgumentError } from '../errors.ts';
import { checkNumber, checkWholeNumber, describe, OptionReader } from '../util/option-reader.ts';
import type { LogitBias } from './processors/logit-bias.ts';
import type { SamplingOptions } from './sampling-options.ts';

/** The meaning, unit and range of each is that of the option in `SamplingOptions`. */
export interface SamplingParams {
  /** Infinity when the request set no limit. */
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly n: number;
  /** Undefined when the request named none. */
  readonly seed: number | undefined;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly typicalP: number;
  readonly topNSigma: number;
  readonly xtcProbability: number;
  readonly xtcThreshold: number;
  readonly repetitionPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  readonly repeatLastN: number;
  /** By ascending token id; a bias of -Infinity bans. */
  readonly logitBias: readonly LogitBias[];
  readonly stop: readonly string[];
  readonly includeStopInOutput: boolean;
  readonly stopTokenIds: readonly number[];
  readonly ignoreEos: boolean;
  readonly logprobs: boolean;
  readonly topLogprobs: number;
}

const NAMES: Readonly<Record<keyof SamplingOptions, true>> = {
  max_tokens: true,
  min_tokens: true,
  n: true,
  seed: true,
  temperature: true,
  top_k: true,
  top_p: true,
  min_p: true,
  typical_p: true,
  top_n_sigma: true,
  xtc_probability: true,
  xtc_threshold: true,
  repetition_penalty: true,
  frequency_penalty: true,
  presence_penalty: true,
  repeat_last_n: true,
  logit_bias: true,
  stop: true,
  include_stop_str_in_output: true,
  stop_token_ids: true,
  ignore_eos: true,
  logprobs: true,
  top_logprobs: true,
};

export const SAMPLING_OPTION_NAMES: readonly string[] = Object.keys(NAMES);

/** What other programs call our options. Suggested, not accepted: one name for one thing. */
export const OTHER_SAMPLING_NAMES: Readonly<Record<string, string>> = {
  max_completion_tokens: 'max_tokens',
  max_new_tokens: 'max_tokens',
  n_predict: 'max_tokens',
  best_of: 'n',
  temp: 'temperature',
  typ_p: 'typical_p',
  typical: 'typical_p',
  repeat_penalty: 'repetition_penalty',
  penalty_last_n: 'repeat_last_n',
  stop_strings: 'stop',
  num_logprobs: 'logprobs',
  n_probs: 'logprobs',
};

/** Every character of an answer is compared with every stop string, on the thread that serves everybody. */
const MAX_STOPS = 1024;
const MAX_STOP_CHARACTERS = 65_536;
const MAX_LOGPROBS = 20;
const MAX_BIAS = 100;
const MAX_TOKEN_ID = 2 ** 31 - 1;

/** @throws InvalidArgumentError naming the option, what it was and what would be right. */
export function resolveSamplingParams(options: SamplingOptions = {}): SamplingParams {
  return readSamplingParams(new OptionReader('sampling options', options, SAMPLING_OPTION_NAMES, OTHER_SAMPLING_NAMES));
}

/** As `resolveSamplingParams`, of a reader that may know other options besides. */
export function readSamplingParams(reader: OptionReader): SamplingParams {
  const maxTokens = reader.wholeNumber('max_tokens', { fallback: Number.POSITIVE_INFINITY, min: 1 });
  const minTokens = reader.wholeNumber('min_tokens', { fallback: 0, min: 0 });
  if (minTokens > maxTokens) {
    throw new InvalidArgumentError('min_tokens', `must not exceed max_tokens (${maxTokens}), got ${minTokens}`);
  }
  const seed = reader.raw('seed');
  return Object.freeze({
    maxTokens,
    minTokens,
    n: reader.wholeNumber('n', { fallback: 1, min: 1, max: 128 }),
    seed: seed === undefined ? undefined : checkWholeNumber('seed', seed, {}),
    temperature: reader.number('temperature', { fallback: 1, min: 0 }),
    ...readFilters(reader),
    repetitionPenalty: reader.number('repetition_penalty', { fallback: 1, min: 0, aboveMin: true }),
    frequencyPenalty: reader.number('frequency_penalty', { fallback: 0, min: -2, max: 2 }),
    presencePenalty: reader.number('presence_penalty', { fallback: 0, min: -2, max: 2 }),
    repeatLastN: reader.wholeNumber('repeat_last_n', { fallback: -1, min: -1 }),
    logitBias: readLogitBias(reader.raw('logit_bias')),
    stop: readStop(reader.raw('stop')),
    includeStopInOutput: reader.boolean('include_stop_str_in_output', false),
    stopTokenIds: readTokenIds(reader.raw('stop_token_ids')),
    ignoreEos: reader.boolean('ignore_eos', false),
    ...readLogprobs(reader),
  });
}

function readFilters(reader: OptionReader) {
  return {
    topK: reader.wholeNumber('top_k', { fallback: 0, min: -1 }),
    topP: reader.number('top_p', { fallback: 1, min: 0, max: 1 }),
    minP: reader.number('min_p', { fallback: 0, min: 0, max: 1 }),
    typicalP: reader.number('typical_p', { fallback: 1, min: 0, max: 1 }),
    topNSigma: reader.number('top_n_sigma', { fallback: -1, min: -1 }),
    xtcProbability: reader.number('xtc_probability', { fallback: 0, min: 0, max: 1 }),
    xtcThreshold: reader.number('xtc_threshold', { fallback: 0.1, min: 0, max: 1 }),
  };
}

function readLogitBias(value: unknown): readonly LogitBias[] {
  if (value === undefined) return Object.freeze([]);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidArgumentError('logit_bias', `must be an object from token id to bias, got ${describe(value)}`);
  }
  const biases = Object.entries(value).map(([key, given]) => {
    if (!/^\d+$/.test(key) || Number(key) > MAX_TOKEN_ID) {
      throw new InvalidArgumentError('logit_bias', `keys must be token ids, got ${describe(key)}`);
    }
    if (given === Number.NEGATIVE_INFINITY) return { tokenId: Number(key), bias: given };
    const bias = checkNumber(`logit_bias[${key}]`, given, { min: -MAX_BIAS, max: MAX_BIAS });
    return { tokenId: Number(key), bias: bias === -MAX_BIAS ? Number.NEGATIVE_INFINITY : bias };
  });
  return Object.freeze(biases.sort((a, b) => a.tokenId - b.tokenId));
}

function readStop(value: unknown): readonly string[] {
  if (value === undefined) return Object.freeze([]);
  if (Array.isArray(value) && value.length > MAX_STOPS) {
    throw new InvalidArgumentError('stop', `must be at most ${MAX_STOPS} strings, got ${value.length}`);
  }
  const stops: unknown[] = Array.isArray(value) ? [...value] : [value];
  let numCharacters = 0;
  for (const stop of stops) {
    if (typeof stop !== 'string') {
      throw new InvalidArgumentError('stop', `must be a string or an array of strings, got ${describe(stop)}`);
    }
    if (stop === '') throw new InvalidArgumentError('stop', 'must not be empty: it would match everywhere');
    if (!stop.isWellFormed()) throw new InvalidArgumentError('stop', 'holds half a character (a lone surrogate)');
    numCharacters += stop.length;
  }
  if (numCharacters > MAX_STOP_CHARACTERS) {
    const limit = `must have at most ${MAX_STOP_CHARACTERS} characters together`;
    throw new InvalidArgumentError('stop', `${limit}, got ${numCharacters}`);
  }
  return Object.freeze(stops as string[]);
}

function readTokenIds(value: unknown): readonly number[] {
  if (value === undefined) return Object.freeze([]);
  if (!Array.isArray(value)) {
    throw new InvalidArgumentError('stop_token_ids', `must be an array of token ids, got ${describe(value)}`);
  }
  return Object.freeze(value.map((id) => checkWholeNumber('stop_token_ids', id, { min: 0, max: MAX_TOKEN_ID })));
}

function readLogprobs(reader: OptionReader): { logprobs: boolean; topLogprobs: number } {
  const range = { min: 0, max: MAX_LOGPROBS };
  const logprobs = reader.raw('logprobs') ?? false;
  const topLogprobs = reader.wholeNumber('top_logprobs', { fallback: 0, ...range });
  if (typeof logprobs === 'boolean') {
    if (!logprobs && topLogprobs > 0) {
      throw new InvalidArgumentError('top_logprobs', 'needs logprobs: true');
    }
    return { logprobs, topLogprobs };
  }
  const count = checkWholeNumber('logprobs', logprobs, range);
  if (reader.raw('top_logprobs') !== undefined && topLogprobs !== count) {
    throw new InvalidArgumentError('top_logprobs', `contradicts logprobs: ${count}; give one of them`);
  }
  return { logprobs: true, topLogprobs: count };
}
