/** What a folder holds, for choosing a file in it and for saying what was found instead. */
import { readdir } from 'node:fs/promises';
import { InvalidArgumentError } from '../engine/errors.ts';

/** The names in a folder, sorted. Undefined when `path` is not a folder that can be listed: whoever opens it next says why.
 * @throws InvalidArgumentError when `path` is not a string at all. */
export async function listFolder(path: string): Promise<readonly string[] | undefined> {
  if (typeof path !== 'string') throw new InvalidArgumentError('model', `must be a path, got ${String(path)}`);
  try {
    return (await readdir(path)).toSorted();
  } catch {
    return undefined;
  }
}

/** A short list for a message: `config.json, model.bin and 3 more`. */
export function describeFolder(entries: readonly string[]): string {
  const shown = 8;
  if (entries.length === 0) return 'nothing';
  const names = entries.slice(0, shown).join(', ');
  return entries.length > shown ? `${names} and ${entries.length - shown} more` : names;
}
