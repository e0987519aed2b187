/** JSON values from stdin, one a line, as they come in. */
import { FormatError } from '../engine/errors.ts';
import { byteLines } from './byte-lines.ts';

/** A string of JavaScript holds about twice this. */
const MAX_LINE_BYTES = 2 ** 28;

export interface JsonLine {
  readonly value: unknown;
  /** An error about this line, naming it. */
  fail(problem: string): FormatError;
}

/** @throws FormatError naming the line that is not UTF-8, not JSON, empty or too long */
export async function* jsonLines(input: AsyncIterable<Uint8Array>): AsyncGenerator<JsonLine> {
  for await (const { index, byteOffset, bytes } of byteLines(input, MAX_LINE_BYTES, { endsAtLongLine: true })) {
    const where = { file: 'stdin', byteOffset, field: `line ${index + 1}` };
    const fail = (problem: string): FormatError => new FormatError(where, problem);
    if (bytes === undefined) throw fail(`is longer than ${MAX_LINE_BYTES} bytes`);
    yield { value: parseLine(bytes, fail), fail };
  }
}

function parseLine(bytes: Uint8Array, fail: (problem: string) => FormatError): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fail('is not valid UTF-8');
  }
  if (text.trim() === '') throw fail('is empty; each line must be one JSON value');
  try {
    return JSON.parse(text);
  } catch {
    throw fail(`is not JSON: ${JSON.stringify(text.slice(0, 60))}`);
  }
}
