/** The one check that all bookkeeping options share. */
import { InvalidArgumentError } from '../errors.ts';

/** @throws InvalidArgumentError unless `value` is a whole number from `minimum`. */
export function checkCount(argument: string, value: number, minimum = 0): void {
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new InvalidArgumentError(argument, `must be a whole number from ${minimum}, got ${value}`);
  }
}
