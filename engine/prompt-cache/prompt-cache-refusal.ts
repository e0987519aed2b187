/** Why a prompt-cache file is not used. Never a reason to fail: what it held is computed again. */
import { FileAccessError, FormatError } from '../errors.ts';

/** 'unreadable': there is no such file, or it may not be read. 'damaged': some check failed. 'version': another version of
 * the file format. 'foreign': no prompt cache, or one of another model, backend, kvDtype or blockSize. */
export type PromptCacheRefusalReason = 'unreadable' | 'damaged' | 'version' | 'foreign';

export interface PromptCacheRefusal {
  readonly reason: PromptCacheRefusalReason;
  /** For a log: the file, the place in it, what was wrong. */
  readonly message: string;
}

/** Thrown while a file is looked at, caught by `restorePromptCache`. */
export class ForeignPromptCacheError extends Error {
  readonly reason: 'version' | 'foreign';

  constructor(reason: 'version' | 'foreign', message: string) {
    super(message);
    this.reason = reason;
  }
}

/** The refusal that an error amounts to; `undefined` for one that is not about the file. */
export function refusalOf(error: unknown): PromptCacheRefusal | undefined {
  if (error instanceof ForeignPromptCacheError) return { reason: error.reason, message: error.message };
  if (error instanceof FormatError) return { reason: 'damaged', message: error.message };
  if (error instanceof FileAccessError) return { reason: 'unreadable', message: error.message };
  return undefined;
}
