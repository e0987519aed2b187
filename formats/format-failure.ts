/** Makes the error for a bad file. Names and texts out of a hostile file end up in logs and on terminals, so they are cut
 * to a sensible length and can hold no control characters (an escape sequence could rewrite what a terminal shows). */
import { FormatError } from '../engine/errors.ts';

const MAX_FIELD_LENGTH = 120;
const MAX_PROBLEM_LENGTH = 600;

/** Control characters, and those that turn the direction of text round or have no width. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

export function formatFailure(
  where: { readonly file: string; readonly byteOffset: number; readonly field: string },
  problem: string,
  options: { readonly cause?: unknown } = {},
): FormatError {
  const field = where.field === '' ? '""' : printable(where.field, MAX_FIELD_LENGTH);
  return new FormatError({ ...where, field }, printable(problem, MAX_PROBLEM_LENGTH), options);
}

function printable(text: string, maxLength: number): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}...` : text;
  return cut.replace(UNPRINTABLE, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}
