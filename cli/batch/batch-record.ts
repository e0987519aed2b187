/** One line of the output of `quern batch`: what it holds, under the API's names, and how it is read back. */
import { QuernError } from '../../engine/errors.ts';
import type { GenerationChoice, GenerationResult } from '../../engine/requests/generation-stream.ts';
import type { BatchLine, BatchRequest, LineId } from './batch-input.ts';

export interface RecordOptions {
  readonly includePrompt: boolean;
  readonly includeTokens: boolean;
}

/** The record of a line that was answered. `index` and `input_hash` are how a later run knows it again. */
export function answerRecord(
  line: BatchLine,
  request: BatchRequest,
  result: GenerationResult,
  options: RecordOptions,
): Record<string, unknown> {
  const { choices, usage, seed } = result;
  return {
    ...head(line),
    ...(options.includePrompt ? request.input : {}),
    ...choiceFields(choices[0]!, options),
    ...(choices.length > 1 ? { choices: choices.map((choice) => choiceFields(choice, options)) } : {}),
    usage: {
      prompt_tokens: usage.numPromptTokens,
      completion_tokens: usage.numGeneratedTokens,
      cached_tokens: usage.numCachedTokens,
    },
    seed,
    input_hash: line.inputHash,
  };
}

/** The record of a line that has no answer. */
export function errorRecord(line: BatchLine, error: unknown): Record<string, unknown> {
  const message = error instanceof Error ? error.message : String(error);
  const code = QuernError.isInstance(error) ? error.code : 'UNEXPECTED';
  return { ...head(line), error: { code, message }, input_hash: line.inputHash };
}

function head({ index, id }: BatchLine): Record<string, unknown> {
  return { index, ...(id === undefined ? {} : { id }) };
}

function choiceFields(choice: GenerationChoice, { includeTokens }: RecordOptions): Record<string, unknown> {
  const { text, tokenIds, finishReason, logprobs } = choice;
  return {
    text,
    ...(includeTokens ? { tokens: tokenIds } : {}),
    ...(logprobs === undefined ? {} : { logprobs }),
    finish_reason: finishReason,
  };
}

/** What a later run needs of a record. */
export interface RecordHead {
  readonly index: number;
  readonly id: LineId | undefined;
  readonly inputHash: string;
  readonly isError: boolean;
}

/** Undefined for a line that `quern batch` did not write. */
export function readRecordHead(bytes: Uint8Array): RecordHead | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { index, id, input_hash: inputHash, error } = value as Record<string, unknown>;
  if (!Number.isSafeInteger(index) || typeof inputHash !== 'string') return undefined;
  if (id !== undefined && typeof id !== 'string' && typeof id !== 'number') return undefined;
  return { index: index as number, id, inputHash, isError: error !== undefined };
}
