/** Files that a command is about to write. */
import { existsSync, statSync } from 'node:fs';
import { InvalidArgumentError } from '../engine/errors.ts';

/** Nothing is overwritten by accident. A device or a pipe is not a file to lose.
 * @throws InvalidArgumentError */
export function checkOutput(path: string, options: { readonly force: boolean }): void {
  if (path === '') throw new InvalidArgumentError('output', 'give the name of a file');
  if (!existsSync(path)) return;
  if (!statSync(path).isFile()) throw new InvalidArgumentError('output', `${path} is not a file`);
  if (!options.force) throw new InvalidArgumentError('output', `${path} exists; --force overwrites it`);
}
