/** The input of `quern batch`: one request per line.
 *
 *   {"prompt": "Once upon a time", "id": "story-1", "max_tokens": 50, "stop": ["\n"]}
 *   {"messages": [{"role": "user", "content": "What is a quern?"}]}
 *
 * Owns what a line may say and how a line is known again in a later run. A line that cannot be a request is not thrown but
 * handed on as an error, since the lines around it are none the worse. */
import { createHash } from 'node:crypto';
import type { ChatMessage } from '../../engine/chat/index.ts';
import type { Prompt } from '../../engine/engine.ts';
import { FormatError, InvalidArgumentError, QuernError } from '../../engine/errors.ts';
import type { GenerateOptions } from '../../engine/requests/generate-options.ts';
import { byteLines } from '../byte-lines.ts';
import { readInput } from '../input.ts';

/** No prompt that fits into a context is this long. */
const MAX_LINE_BYTES = 2 ** 26;

export type LineId = string | number;

export interface BatchRequest {
  /** A text to continue, or a conversation to answer. */
  readonly input: { readonly prompt: Prompt } | { readonly messages: readonly ChatMessage[] };
  /** What the line says, under the API's names; checked where it is used. */
  readonly options: GenerateOptions;
}

export interface BatchLine {
  /** From 0; blank lines count, so it is the line's place in the file. */
  readonly index: number;
  readonly byteOffset: number;
  readonly id: LineId | undefined;
  /** Names the line in a later run: its id, or else its index. */
  readonly key: string;
  /** Changes when the line or the settings of the run change. */
  readonly inputHash: string;
  /** An earlier line has the same id, so this one cannot be run: its record would be the other's. */
  readonly isDuplicate: boolean;
  readonly request: BatchRequest | QuernError;
}

export interface BatchSource {
  /** A file, or `-` for stdin. */
  readonly path: string;
  /** Whatever besides a line decides its answer; goes into its hash. */
  readonly settings: string;
}

/** The requests of an input, in order. Blank lines are none. Ends early when `signal` fires.
 * @throws FileAccessError */
export async function* batchLines({ path, settings }: BatchSource, signal: AbortSignal): AsyncGenerator<BatchLine> {
  const file = path === '-' ? 'stdin' : path;
  const indexOfId = new Map<LineId, number>();
  for await (const { index, byteOffset, bytes } of byteLines(readInput(path, signal), MAX_LINE_BYTES)) {
    if (bytes !== undefined && isBlank(bytes)) continue;
    const fail = (problem: string): FormatError =>
      new FormatError({ file, byteOffset, field: `line ${index + 1}` }, problem);
    const { id, request } = readLine(bytes, fail);
    const earlier = id === undefined ? undefined : indexOfId.get(id);
    if (id !== undefined && earlier === undefined) indexOfId.set(id, index);
    yield {
      index,
      byteOffset,
      id,
      key: keyOf(id, index),
      inputHash: hashOf(settings, bytes),
      isDuplicate: earlier !== undefined,
      request:
        earlier === undefined ? request : fail(`has the id ${JSON.stringify(id)} that line ${earlier + 1} has already`),
    };
  }
}

export function keyOf(id: LineId | undefined, index: number): string {
  return id === undefined ? `#${index}` : JSON.stringify(id);
}

interface ReadLine {
  readonly id: LineId | undefined;
  readonly request: BatchRequest | QuernError;
}

function readLine(bytes: Uint8Array | undefined, fail: (problem: string) => FormatError): ReadLine {
  if (bytes === undefined) return { id: undefined, request: fail(`is longer than ${MAX_LINE_BYTES} bytes`) };
  const value = parseJson(bytes, fail);
  if (QuernError.isInstance(value)) return { id: undefined, request: value };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { id: undefined, request: fail('must be a JSON object with "prompt" or "messages"') };
  }
  const { id, ...fields } = value as Record<string, unknown>;
  if (id !== undefined && id !== null && typeof id !== 'string' && typeof id !== 'number') {
    return { id: undefined, request: fail('"id" must be a string or a number') };
  }
  return { id: id ?? undefined, request: toRequest(fields, fail) };
}

function toRequest(fields: Record<string, unknown>, fail: (problem: string) => FormatError): BatchRequest | QuernError {
  const { prompt, messages, ...options } = fields;
  if ('signal' in options) return new InvalidArgumentError('signal', 'cannot be given in a line');
  if (prompt !== undefined && messages !== undefined) return fail('has both "prompt" and "messages"; give one');
  if (prompt === undefined && messages === undefined) return fail('has no "prompt" and no "messages"');
  if (messages !== undefined) {
    if (!Array.isArray(messages)) return fail('"messages" must be an array');
    return { input: { messages }, options };
  }
  if (typeof prompt !== 'string' && !Array.isArray(prompt)) {
    return fail('"prompt" must be a text, or an array of token ids');
  }
  return { input: { prompt }, options };
}

function parseJson(bytes: Uint8Array, fail: (problem: string) => FormatError): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return fail('is not valid UTF-8');
  }
  try {
    return JSON.parse(text);
  } catch {
    return fail(`is not JSON: ${JSON.stringify(text.slice(0, 60))}`);
  }
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

/** 64 bits: the chance that an edit goes unnoticed is nil, and a line of output stays short. */
function hashOf(settings: string, bytes: Uint8Array | undefined): string {
  const hash = createHash('sha256').update(settings).update('\n');
  return hash
    .update(bytes ?? '')
    .digest('hex')
    .slice(0, 16);
}
