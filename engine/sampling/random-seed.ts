/** A seed for a request that named none. The caller reports it back, so that the run can be repeated. */
import { randomInt } from 'node:crypto';

/** A whole number from 0 up to 2^48 - 1. */
export function randomSeed(): number {
  return randomInt(2 ** 48 - 1);
}
