/** What every request may say about being scheduled, whatever it asks of the model. */
import { MAX_PRIORITY } from '../scheduler/sequence.ts';
import type { OptionReader } from '../util/option-reader.ts';

export interface RequestOptions {
  /** Lower runs earlier, under the 'priority' policy. Whole number from -1e6 to 1e6. Default 0. */
  readonly priority?: number;
  /** Gives the request up after so long, queued or running, in ms. Above 0. Default: never, as for Infinity. */
  readonly deadlineMs?: number;
  /** Requests share cached prompt beginnings only under equal salts. Default ''. */
  readonly cacheSalt?: string;
  /** Aborts the request. */
  readonly signal?: AbortSignal;
}

/** Checked, and with the defaults filled in. */
export interface RequestSettings {
  readonly priority: number;
  /** Undefined: never. */
  readonly deadlineMs: number | undefined;
  readonly cacheSalt: string;
  readonly signal: AbortSignal | undefined;
}

const NAMES: Readonly<Record<keyof RequestOptions, true>> = {
  priority: true,
  deadlineMs: true,
  cacheSalt: true,
  signal: true,
};

export const REQUEST_OPTION_NAMES: readonly string[] = Object.keys(NAMES);

/** @throws InvalidArgumentError */
export function readRequestOptions(reader: OptionReader): RequestSettings {
  const isEndless = reader.raw('deadlineMs') === Number.POSITIVE_INFINITY;
  return {
    priority: reader.wholeNumber('priority', { fallback: 0, min: -MAX_PRIORITY, max: MAX_PRIORITY }),
    deadlineMs: isEndless ? undefined : reader.number('deadlineMs', { fallback: undefined, min: 0, aboveMin: true }),
    cacheSalt: reader.string('cacheSalt', ''),
    signal: reader.signal('signal'),
  };
}
