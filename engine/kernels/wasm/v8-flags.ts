/** Sets V8 flags for the length of one call. Flags belong to the whole process, so they are put back at once, whatever
 * happens (law 9); a flag that the process was started with is left alone. */
import { setFlagsFromString } from 'node:v8';

/** Runs `body` with flags such as `--no-liftoff`. Synchronous, so that nothing else on this thread sees them. */
export function withV8Flags<T>(flags: readonly string[], body: () => T): T {
  const given = new Set([...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)].map(normalized));
  const changed = flags.filter((flag) => !given.has(normalized(flag)));
  try {
    for (const flag of changed) setFlagsFromString(flag);
    return body();
  } finally {
    for (const flag of changed) setFlagsFromString(opposite(flag));
  }
}

/** V8 takes underscores for dashes. */
const normalized = (flag: string): string => flag.replaceAll('_', '-');

/** All flags used here are off by default in this form, so the opposite is the default. */
export function opposite(flag: string): string {
  return flag.startsWith('--no-') ? `--${flag.slice('--no-'.length)}` : `--no-${flag.slice('--'.length)}`;
}
