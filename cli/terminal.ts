/** What the commands write to: results to stdout, everything else to stderr. Waits when a pipe is full, and turns a
 * closed pipe into a quiet end of the process. */
import { once } from 'node:events';
import { writeFailure } from '../engine/util/write-failure.ts';
import { EXIT } from './exit-codes.ts';
import { visibleControls } from './printable.ts';

/** Writes to stdout; resolves when more may be written. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

/** Text of a model's: as it is into a pipe or a file. On a terminal its escape sequences would be obeyed, so they are shown
 * instead. */
export async function showText(text: string): Promise<void> {
  await print(process.stdout.isTTY ? visibleControls(text) : text);
}

export async function printLine(text: string): Promise<void> {
  await print(`${text}\n`);
}

export async function printJson(value: unknown): Promise<void> {
  await printLine(JSON.stringify(value, (_key, item) => (typeof item === 'bigint' ? item.toString() : item)));
}

/** A line for the person at the terminal, on stderr. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Ends the process without a stack trace when stdout or stderr can no longer be written: quietly when its reader went away
 * (`quern run | head -1`), with a line when a disk is full. */
export function endOnUnwritableOutput(): void {
  for (const [name, stream] of [
    ['stdout', process.stdout],
    ['stderr', process.stderr],
  ] as const) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(EXIT.brokenPipe);
      if (stream === process.stdout) note(`quern: ${writeFailure(name, error).message}`);
      process.exit(EXIT.failure);
    });
  }
}
