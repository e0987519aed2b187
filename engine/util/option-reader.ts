/** Reads a caller's options one by one and refuses what can never be valid: wrong types, NaN, numbers out of range,
 * names nobody knows. `undefined` and `null` (JSON's way of leaving an option out) mean the default.
 * Knows checks only; which options there are, and what they mean, is said by whoever reads them. */
import { InvalidArgumentError } from '../errors.ts';

export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
  /** Excludes `min` itself. */
  readonly aboveMin?: boolean;
}

/** `fallback` is the value of an option that was left out. */
type WithFallback<Fallback> = NumberRange & { readonly fallback: Fallback };

export class OptionReader {
  /** What was given, read once: a getter that answers differently the second time changes nothing. */
  readonly #values = new Map<string, unknown>();

  /** @param what          what the options are for, for messages
   *  @param names         every option there is
   *  @param otherNames    names used elsewhere for the same thing, to be suggested
   *  @throws InvalidArgumentError; what a getter of the caller's throws */
  constructor(
    what: string,
    options: unknown,
    names: readonly string[],
    otherNames: Readonly<Record<string, string>> = {},
  ) {
    if (typeof options !== 'object' || options === null || Array.isArray(options)) {
      throw new InvalidArgumentError(what, `must be an object, got ${describe(options)}`);
    }
    for (const name of Object.keys(options)) {
      if (names.includes(name)) {
        this.#values.set(name, (options as Record<string, unknown>)[name] ?? undefined);
        continue;
      }
      const near = Object.hasOwn(otherNames, name) ? otherNames[name] : nearestName(name, names);
      const advice = near === undefined ? `there are ${names.join(', ')}` : `did you mean ${near}?`;
      throw new InvalidArgumentError(what, `unknown option ${describe(name)}; ${advice}`);
    }
  }

  /** The value as given; undefined when left out. */
  raw(name: string): unknown {
    return this.#values.get(name);
  }

  number<Fallback extends number | undefined>(name: string, range: WithFallback<Fallback>): number | Fallback {
    const value = this.raw(name);
    return value === undefined ? range.fallback : checkNumber(name, value, range);
  }

  wholeNumber<Fallback extends number | undefined>(name: string, range: WithFallback<Fallback>): number | Fallback {
    const value = this.raw(name);
    return value === undefined ? range.fallback : checkWholeNumber(name, value, range);
  }

  boolean(name: string, fallback: boolean): boolean {
    return this.#typed(name, 'a boolean', (value) => typeof value === 'boolean') ?? fallback;
  }

  string<Fallback extends string | undefined>(name: string, fallback: Fallback): string | Fallback {
    const value = this.raw(name);
    return value === undefined ? fallback : checkString(name, value);
  }

  oneOf<Value extends string>(name: string, allowed: readonly Value[], fallback: Value): Value {
    const value = this.raw(name);
    if (value === undefined) return fallback;
    if (allowed.includes(value as Value)) return value as Value;
    throw new InvalidArgumentError(name, `must be one of ${allowed.join(', ')}, got ${describe(value)}`);
  }

  /** What it holds is the business of whoever uses it. */
  object(name: string): Readonly<Record<string, unknown>> | undefined {
    return this.#typed(name, 'an object', (value) => typeof value === 'object' && !Array.isArray(value));
  }

  array(name: string): readonly unknown[] | undefined {
    return this.#typed(name, 'an array', (value) => Array.isArray(value));
  }

  /** A callback, as whoever documents the option has typed it. */
  callback<Callback>(name: string): Callback | undefined {
    return this.#typed<Callback>(name, 'a function', (value) => typeof value === 'function');
  }

  /** An AbortSignal of any make: one of another realm, or of a test environment, is no instance of ours. */
  signal(name: string): AbortSignal | undefined {
    return this.#typed<AbortSignal>(name, 'an AbortSignal', (value) => {
      const signal = Object(value) as Partial<AbortSignal>;
      const methods = [signal.addEventListener, signal.removeEventListener, signal.throwIfAborted];
      return typeof signal.aborted === 'boolean' && methods.every((method) => typeof method === 'function');
    });
  }

  #typed<Value>(name: string, type: string, isValid: (value: unknown) => boolean): Value | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (!isValid(value)) throw new InvalidArgumentError(name, `must be ${type}, got ${describe(value)}`);
    return value as Value;
  }
}

export function checkString(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw new InvalidArgumentError(name, `must be a string, got ${describe(value)}`);
}

export function checkNumber(name: string, value: unknown, range: NumberRange): number {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, aboveMin = false } = range;
  if (typeof value === 'number' && Number.isFinite(value) && value >= min && value <= max) {
    if (!aboveMin || value > min) return value;
  }
  throw new InvalidArgumentError(name, `must be a number${describeRange(range)}, got ${describe(value)}`);
}

export function checkWholeNumber(name: string, value: unknown, range: NumberRange): number {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = range;
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  throw new InvalidArgumentError(name, `must be a whole number${describeRange(range)}, got ${describe(value)}`);
}

/** A value for a message: short, and never a whole object. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'string') {
    return value.length > 40 ? `a string of ${value.length} characters` : JSON.stringify(value);
  }
  return typeof value === 'object' || typeof value === 'function' ? `a value of type ${typeof value}` : String(value);
}

function describeRange({ min, max, aboveMin }: NumberRange): string {
  const from = min === undefined ? '' : aboveMin ? ` above ${min}` : ` from ${min}`;
  return max === undefined ? from : `${from} to ${max}`;
}

/** The option that a mistyped name is probably meant to be: the same letters in another case or with other
 * separators, or at most two letters away. */
function nearestName(name: string, names: readonly string[]): string | undefined {
  if (name.length > 64) return undefined;
  const plain = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  const wanted = plain(name);
  let best: string | undefined;
  let bestDistance = Math.min(2, Math.floor(wanted.length / 2)) + 1;
  for (const candidate of names) {
    const distance = editDistance(wanted, plain(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions and substitutions that turn `a` into `b` (Levenshtein 1966; rows of Wagner & Fischer 1974). */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = previous[j - 1]! + Number(a[i - 1] !== b[j - 1]);
      row.push(Math.min(previous[j]! + 1, row[j - 1]! + 1, substituted));
    }
    previous = row;
  }
  return previous[b.length]!;
}
