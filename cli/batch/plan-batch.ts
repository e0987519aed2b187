/** Before a batch runs: which lines of the input are finished already, and whether they still are what was answered. */
import { realpathSync } from 'node:fs';
import { FormatError, InvalidArgumentError } from '../../engine/errors.ts';
import { type BatchLine, type BatchSource, batchLines } from './batch-input.ts';

export interface BatchPlan {
  readonly total: number;
  readonly alreadyDone: number;
}

/** Reads a whole input file once, holding one line at a time.
 * @throws FormatError for a finished line that was changed since, FileAccessError */
export async function planBatch(
  source: BatchSource,
  finished: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<BatchPlan> {
  let total = 0;
  let alreadyDone = 0;
  for await (const line of batchLines(source, signal)) {
    total++;
    if (isFinished(line, source.path, finished)) alreadyDone++;
  }
  return { total, alreadyDone };
}

/** The lines that no earlier run has finished.
 * @throws FormatError for a finished line that was changed since, FileAccessError */
export async function* unfinishedLines(
  source: BatchSource,
  finished: ReadonlyMap<string, string>,
  signal: AbortSignal,
): AsyncGenerator<BatchLine, void> {
  for await (const line of batchLines(source, signal)) if (!isFinished(line, source.path, finished)) yield line;
}

function isFinished(line: BatchLine, path: string, finished: ReadonlyMap<string, string>): boolean {
  const hash = finished.get(line.key);
  if (hash === undefined || line.isDuplicate) return false;
  if (hash === line.inputHash) return true;
  throw new FormatError(
    { file: path === '-' ? 'stdin' : path, byteOffset: line.byteOffset, field: `line ${line.index + 1}` },
    'was answered by an earlier run, but it or the options have changed since; undo that, or give another --out',
  );
}

/** The output would be written over the input. @throws InvalidArgumentError */
export function checkNotSameFile(input: string, output: string): void {
  if (input === '-') return;
  try {
    if (realpathSync(input) !== realpathSync(output)) return;
  } catch {
    return;
  }
  throw new InvalidArgumentError('--out', `${output} is the input itself`);
}
