/** Methods of Python's `str` that the Jinja package lacks or does otherwise: it ignores the argument of `strip`, and
 * JavaScript's white space is not Python's. Source: Python library reference, "String Methods". */
import { dropEmptyMarks, isMark } from '../content-marks.ts';

/** `str.isspace()`: Unicode white space, and the four separators of ASCII. */
const WHITE_SPACE = new Set(
  '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
);

export type StripSide = 'left' | 'right' | 'both';

/** `strip`, `lstrip`, `rstrip`. Marks are no characters: they are looked through and stay, so that what is left of a
 * message is still marked as one. @param characters  to strip; default white space */
export function strip(text: string, side: StripSide, characters?: string): string {
  const stripped = characters === undefined ? WHITE_SPACE : new Set(characters);
  let start = 0;
  let end = text.length;
  let before = '';
  let after = '';
  while (side !== 'right' && start < end) {
    const char = String.fromCodePoint(text.codePointAt(start)!);
    if (isMark(char.codePointAt(0)!)) before += char;
    else if (!stripped.has(char)) break;
    start += char.length;
  }
  while (side !== 'left' && end > start) {
    const char = lastCharacter(text, end);
    if (isMark(char.codePointAt(0)!)) after = char + after;
    else if (!stripped.has(char)) break;
    end -= char.length;
  }
  return dropEmptyMarks(before + text.slice(start, end) + after);
}

function lastCharacter(text: string, end: number): string {
  const last = text.charCodeAt(end - 1);
  const isSecondHalf = last >= 0xdc00 && last <= 0xdfff;
  const before = end >= 2 ? text.charCodeAt(end - 2) : 0;
  return text.slice(isSecondHalf && before >= 0xd800 && before <= 0xdbff ? end - 2 : end - 1, end);
}

/** The first character upper case, the others lower case. */
export function capitalize(text: string): string {
  const [first = '', ...rest] = text;
  return first.toUpperCase() + rest.join('').toLowerCase();
}

/** Every run of letters capitalized. */
export function title(text: string): string {
  return text.replace(/\p{L}+/gu, capitalize);
}

/** Index in code points of the first occurrence, -1 for none. */
export function find(text: string, part: string): number {
  const index = text.indexOf(part);
  return index < 0 ? -1 : [...text.slice(0, index)].length;
}

/** How often `part` occurs without overlap. */
export function count(text: string, part: string): number {
  return part === '' ? [...text].length + 1 : text.split(part).length - 1;
}
