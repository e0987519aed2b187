/** What a promise rejects with; fails the test when it does not. */
import { FormatError } from '../../engine/errors.ts';

export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`expected a rejection, got ${String(value)}`);
}

/** The same, and it must be a FormatError. */
export async function formatError(promise: Promise<unknown>): Promise<FormatError> {
  const error = await rejection(promise);
  if (error instanceof FormatError) return error;
  throw new Error(`expected a FormatError, got ${String(error)}`, { cause: error });
}
