/** What the process's exit code means, for scripts. */
import { QuernError, type QuernErrorCode } from '../engine/errors.ts';

export const EXIT = {
  ok: 0,
  /** Something went wrong that is neither the caller's words nor the file. */
  failure: 1,
  /** The command line itself: an unknown option, a value out of range. */
  usage: 2,
  /** The input: a missing or damaged model, a prompt that does not fit. */
  input: 3,
  /** Ended by Ctrl-C, as shells count it: 128 + SIGINT. */
  interrupted: 130,
  /** Nobody reads stdout any more: 128 + SIGPIPE. */
  brokenPipe: 141,
} as const;

const INPUT_CODES: ReadonlySet<QuernErrorCode> = new Set([
  'FORMAT',
  'FILE_ACCESS',
  'UNSUPPORTED',
  'CONTEXT_LENGTH',
  'SHAPE',
  'NON_FINITE_LOGITS',
]);

export function exitCodeOf(error: unknown): number {
  if (!QuernError.isInstance(error)) return EXIT.failure;
  if (error.code === 'INVALID_ARGUMENT') return EXIT.usage;
  if (error.code === 'ABORTED') return EXIT.interrupted;
  return INPUT_CODES.has(error.code) ? EXIT.input : EXIT.failure;
}
