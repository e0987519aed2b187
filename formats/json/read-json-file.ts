/** Reads a JSON file of a bounded size. */

import { FileRangeReader } from '../file-range-reader.ts';
import { formatFailure } from '../format-failure.ts';
import { type JsonValue, parseJson } from './parse-json.ts';

/** A config.json has 1 to 20 kB. */
export const DEFAULT_MAX_JSON_BYTES = 2 ** 20;

export interface ReadJsonOptions {
  /** Larger files are refused. Bytes, default 1 MiB. */
  readonly maxBytes?: number;
}

/** @throws FormatError for a file too large, not UTF-8, not JSON, with a key twice; at the byte where it goes wrong.
 *          FileAccessError when there is no such file or it may not be read. */
export async function readJsonFile(
  path: string,
  { maxBytes = DEFAULT_MAX_JSON_BYTES }: ReadJsonOptions = {},
): Promise<JsonValue> {
  return parseJson(await readBoundedFile(path, maxBytes), path);
}

/** All bytes of a file that is at most `maxBytes` long. @throws as `readJsonFile`. */
export async function readBoundedFile(path: string, maxBytes: number): Promise<Uint8Array> {
  const reader = await FileRangeReader.open(path);
  try {
    const { byteLength } = reader;
    if (byteLength > maxBytes) {
      const where = { file: path, byteOffset: 0, field: 'file' };
      throw formatFailure(where, `has ${byteLength} bytes; at most ${maxBytes} are accepted`);
    }
    const bytes = new Uint8Array(byteLength);
    await reader.read(0, bytes, 'file');
    return bytes;
  } finally {
    await reader.close();
  }
}
