/** An error of the library, said in the words of the command line. */
import type { Command } from 'commander';
import type { QuernError } from '../engine/errors.ts';
import { printable } from './printable.ts';

/** Where a flag is not simply the option's name. */
const FLAGS: Readonly<Record<string, string>> = { maxModelLen: '--context-length', numThreads: '--threads' };
/** Options that messages give as advice, wherever they stand in the text. */
const ADVICE = /\b(?:maxModelLen|max_tokens)\b/g;

/** One line. A message may quote a file, and a file may hold what steers a terminal. */
export function errorText(error: QuernError, program: Command): string {
  let { message } = error;
  const { argument } = error.details;
  if (error.code === 'INVALID_ARGUMENT' && typeof argument === 'string' && message.startsWith(`${argument}:`)) {
    message = flagOf(argument, program) + message.slice(argument.length);
  }
  return printable(message.replace(ADVICE, (name) => flagOf(name, program)));
}

/** `top_p` and `topP` as `--top-p`, where any command has such a flag. */
function flagOf(argument: string, program: Command): string {
  const name = argument.replace(/_|(?=[A-Z])/g, '-').toLowerCase();
  const flag = FLAGS[argument] ?? `--${name}`;
  const isKnown = program.commands.some(({ options }) => options.some(({ long }) => long === flag));
  return isKnown ? flag : argument;
}
