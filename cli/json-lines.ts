/** JSON values from stdin, one a line, as they come in. Splits at line feeds only: other line ends that Unicode knows may
 * stand inside a JSON string. */
import { FormatError } from '../engine/errors.ts';

/** A string of JavaScript holds about twice this. */
const MAX_LINE_BYTES = 2 ** 28;
const LINE_FEED = 0x0a;

export interface JsonLine {
  readonly value: unknown;
  /** An error about this line, naming it. */
  fail(problem: string): FormatError;
}

/** @throws FormatError naming the line that is not UTF-8, not JSON, empty or too long */
export async function* jsonLines(input: AsyncIterable<Uint8Array>): AsyncGenerator<JsonLine> {
  let number = 0;
  let byteOffset = 0;
  for await (const bytes of byteLines(input)) {
    number++;
    const where = { file: 'stdin', byteOffset, field: `line ${number}` };
    const fail = (problem: string): FormatError => new FormatError(where, problem);
    if (bytes === undefined) throw fail(`is longer than ${MAX_LINE_BYTES} bytes`);
    yield { value: parseLine(bytes, fail), fail };
    byteOffset += bytes.byteLength + 1;
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

/** Lines without their line feeds; what follows the last one is a line when it is not empty. `undefined` for one too long. */
async function* byteLines(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array | undefined> {
  let parts: Uint8Array[] = [];
  let numBytes = 0;
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      parts.push(chunk.subarray(start, end));
      yield Buffer.concat(parts);
      parts = [];
      numBytes = 0;
      start = end + 1;
    }
    parts.push(chunk.subarray(start));
    numBytes += chunk.length - start;
    if (numBytes > MAX_LINE_BYTES) yield undefined;
  }
  if (numBytes > 0) yield Buffer.concat(parts);
}
