/** The sampling options as words of the command line. */
import type { Command } from 'commander';
import type { SamplingOptions } from '../engine/sampling/sampling-options.ts';
import { collect, decimalNumber, type LogitBias, logitBias, wholeNumber } from './option-parsers.ts';

export interface SamplingFlags {
  readonly maxTokens?: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly typicalP: number;
  readonly repetitionPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  readonly repeatLastN: number;
  readonly logitBias?: LogitBias;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly ignoreEos?: true;
}

export function addSamplingFlags(command: Command): Command {
  return command
    .option('-n, --max-tokens <n>', 'most tokens to generate (default: up to the end of the context)', wholeNumber(1))
    .option('--temperature <x>', 'spread of the choice; 0 always takes the likeliest token', decimalNumber, 0.8)
    .option('--top-k <n>', 'choose among the n likeliest tokens; 0 for all', wholeNumber(-1), 40)
    .option('--top-p <x>', 'choose among the likeliest tokens that together reach probability x', decimalNumber, 0.95)
    .option('--min-p <x>', 'leave out tokens less likely than x times the likeliest', decimalNumber, 0)
    .option('--typical-p <x>', 'choose among the most typical tokens that together reach x', decimalNumber, 1)
    .option('--repetition-penalty <x>', 'above 1 makes tokens that were there before less likely', decimalNumber, 1.1)
    .option('--frequency-penalty <x>', 'taken from a logit each time the token was generated', decimalNumber, 0)
    .option('--presence-penalty <x>', 'taken from a logit once the token was generated', decimalNumber, 0)
    .option('--repeat-last-n <n>', 'how many tokens back the penalties look; -1 for all', wholeNumber(-1), 64)
    .option('--logit-bias <id=x>', 'add x to the logit of a token id (repeatable)', logitBias)
    .option('--seed <n>', 'makes the run repeatable (default: random, and reported)', wholeNumber(-(2 ** 53) + 1))
    .option('--stop <text>', 'stop before this text (repeatable)', collect)
    .option('--ignore-eos', "go on after the model's end-of-text token");
}

/** With temperature 0 the likeliest token of the model itself is wanted: penalties stay off unless asked for. */
export function toSamplingOptions(flags: SamplingFlags, isDefault: (flag: string) => boolean): SamplingOptions {
  const isGreedy = flags.temperature === 0;
  return {
    temperature: flags.temperature,
    top_k: flags.topK,
    top_p: flags.topP,
    min_p: flags.minP,
    typical_p: flags.typicalP,
    repetition_penalty: isGreedy && isDefault('repetitionPenalty') ? 1 : flags.repetitionPenalty,
    frequency_penalty: flags.frequencyPenalty,
    presence_penalty: flags.presencePenalty,
    repeat_last_n: flags.repeatLastN,
    ...(flags.maxTokens === undefined ? {} : { max_tokens: flags.maxTokens }),
    ...(flags.seed === undefined ? {} : { seed: flags.seed }),
    ...(flags.stop === undefined ? {} : { stop: flags.stop }),
    ...(flags.ignoreEos === undefined ? {} : { ignore_eos: true }),
    ...(flags.logitBias === undefined ? {} : { logit_bias: flags.logitBias }),
  };
}
