/** Reads stdin, whole or line by line. */
import { FormatError } from '../engine/errors.ts';
import { byteLines } from './byte-lines.ts';

/** Far beyond any context, and yet held in memory with ease. */
const MAX_LINE_BYTES = 2 ** 24;

/** More than any text that is read as one; a string of JavaScript holds about twice this. */
const MAX_TEXT_LENGTH = 2 ** 28;

/** All of it as one text. @throws FormatError when it is no text that fits into memory */
export async function readStdin(): Promise<string> {
  process.stdin.setEncoding('utf8');
  let text = '';
  for await (const chunk of process.stdin) {
    text += chunk as string;
    if (text.length > MAX_TEXT_LENGTH) {
      throw new FormatError(
        { file: 'stdin', byteOffset: 0, field: 'text' },
        `is longer than ${MAX_TEXT_LENGTH} characters`,
      );
    }
  }
  return text;
}

/** Lines of UTF-8 without their ends, as they come in. A line ends at a line feed, or a carriage return and a line feed:
 * U+2028 and its like, at which some readers split, are part of a text. An empty last line is none.
 * @throws FormatError for a line that is not UTF-8 or longer than `maxBytes`, naming it */
export async function* textLines(
  input: AsyncIterable<Uint8Array>,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<string, void, void> {
  for await (const { index, byteOffset, bytes } of byteLines(input, maxBytes, { endsAtLongLine: true })) {
    const fail = (problem: string): FormatError =>
      new FormatError({ file: 'stdin', byteOffset, field: `line ${index + 1}` }, problem);
    if (bytes === undefined) throw fail(`is longer than ${maxBytes} bytes`);
    // A byte order mark is one at the start only; elsewhere it is text.
    yield decode(bytes, index > 0, fail).replace(/\r$/, '');
  }
}

function decode(bytes: Uint8Array, ignoreBOM: boolean, fail: (problem: string) => FormatError): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM }).decode(bytes);
  } catch {
    throw fail('is not valid UTF-8');
  }
}
