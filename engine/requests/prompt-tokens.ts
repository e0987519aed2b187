/** From what a caller gives as a prompt to token ids that the model can read. */
import { ContextLengthError, InvalidArgumentError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import { describe } from '../util/option-reader.ts';

/** A prompt as text, or as token ids that are used as they are. */
export type Prompt = string | ArrayLike<number>;

export interface PromptRules {
  readonly tokenizer: Tokenizer;
  /** Ids from here on have no row in the embedding. */
  readonly vocabSize: number;
  /** Tokens that a prompt may have. */
  readonly maxNumTokens: number;
}

export interface PromptEncoding {
  readonly parseSpecial: boolean;
  readonly addSpecial: boolean;
}

/** A copy: what the caller does with the list afterwards changes nothing.
 * @throws InvalidArgumentError for what is no prompt, a token id that the model does not know, or no token at all;
 *   ContextLengthError, as nothing is ever cut silently */
export function encodePrompt(prompt: Prompt, encoding: PromptEncoding, rules: PromptRules): Int32Array {
  const { tokenizer, maxNumTokens } = rules;
  const given = typeof prompt === 'string' ? tokenizer.encode(prompt, encoding) : prompt;
  const length: unknown = given?.length;
  if (typeof given !== 'object' || !Number.isSafeInteger(length) || (length as number) < 0) {
    throw new InvalidArgumentError('prompt', `must be a string or a list of token ids, got ${describe(prompt)}`);
  }
  const numTokens = length as number;
  if (numTokens === 0) {
    throw new InvalidArgumentError('prompt', 'has no tokens; this model needs at least one to start from');
  }
  if (numTokens > maxNumTokens) {
    throw new ContextLengthError(numTokens, maxNumTokens, 'shorten the prompt, or load with a larger maxModelLen');
  }
  return checkedIds(given, numTokens, rules.vocabSize);
}

/** @param maxTokens  Infinity: as many as there is room for, which must be one
 *  @throws ContextLengthError: nothing is ever cut silently */
export function checkRoom(numPromptTokens: number, maxTokens: number, maxModelLen: number): void {
  const numTokens = numPromptTokens + (Number.isFinite(maxTokens) ? maxTokens : 1);
  if (numTokens <= maxModelLen) return;
  const wanted = Number.isFinite(maxTokens) ? `max_tokens is ${maxTokens}` : 'at least one is to follow';
  const remedy = 'shorten the prompt, lower max_tokens, or load with a larger maxModelLen';
  throw new ContextLengthError(numTokens, maxModelLen, `the prompt has ${numPromptTokens}, ${wanted}; ${remedy}`);
}

function checkedIds(given: ArrayLike<number>, numTokens: number, vocabSize: number): Int32Array {
  const ids = new Int32Array(numTokens);
  for (let i = 0; i < numTokens; i++) {
    const id: unknown = given[i];
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= vocabSize) {
      throw new InvalidArgumentError(
        'prompt',
        `token ${describe(id)} at place ${i} is not a token id from 0 to ${vocabSize - 1}`,
      );
    }
    ids[i] = id as number;
  }
  return ids;
}
