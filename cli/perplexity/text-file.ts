/** The text of a file of any size, piece by piece. */
import { FormatError } from '../../engine/errors.ts';
import { readInput } from '../input.ts';

/** Characters are never cut apart; a byte order mark at the start is no text.
 * @param path  a file, or `-` for stdin
 * @throws FileAccessError, FormatError for bytes that are not UTF-8 */
export async function* readText(path: string, signal: AbortSignal): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let byteOffset = 0;
  const decode = (bytes?: Uint8Array): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch {
      const where = { file: path === '-' ? 'stdin' : path, byteOffset, field: 'text' };
      throw new FormatError(where, 'here or soon after, the bytes are not UTF-8');
    }
  };
  for await (const bytes of readInput(path, signal)) {
    yield decode(bytes);
    byteOffset += bytes.byteLength;
  }
  yield decode();
}
