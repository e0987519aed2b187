/** What a command reads, a file or stdin: as bytes while they come, or whole. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { FileAccessError } from '../engine/errors.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EISDIR: 'it is a folder',
  EACCES: 'no permission to read it',
  EPERM: 'no permission to read it',
};

/** Bytes of a file, or of stdin for `-`. Ends early when `signal` fires, even if it waits for someone to type.
 * @throws FileAccessError, while it is read */
export async function* readInput(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    yield* addAbortSignal(signal, path === '-' ? process.stdin : createReadStream(path));
  } catch (error) {
    if (signal.aborted) return;
    throw readFailure(path, error);
  }
}

/** A small file, whole. @throws FileAccessError */
export async function readTextFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw readFailure(path, error);
  }
}

function readFailure(path: string, error: unknown): FileAccessError {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new FileAccessError(path, REASONS[code] ?? `cannot be read: ${message}`, { cause: error });
}
