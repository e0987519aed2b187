/** Marks around text that came from a conversation, so that after rendering it is known which characters the template
 * wrote and which the caller did.
 *
 *   content     Hi!                    marked     ⟦Hi!⟧
 *   template    '<|user|>' + content   rendered   <|user|>⟦Hi!⟧      ->   text <|user|>Hi!, content at 8 to 11
 *
 * The marks are unpaired surrogates. Every text that enters is made well-formed first (an unpaired surrogate becomes
 * U+FFFD, as in any UTF-8 encoder), so no message can hold a mark, whatever it holds. Only expressions with the `u` flag
 * may look for them: without it the half of a pair would match too. */

const OPEN = '\uDC00';
const CLOSE = '\uDC01';
const MARKS = /[\uDC00\uDC01]/gu;
const MARKED = /\uDC00[^\uDC00\uDC01]*\uDC01/gu;
const EMPTY_MARKS = /\uDC00\uDC01/gu;

export interface MarkedText {
  readonly text: string;
  /** Start and end of every stretch that is content, in UTF-16 units, ascending. */
  readonly contentSpans: readonly (readonly [start: number, end: number])[];
}

/** '' stays '': a template may ask whether there is any text. @param text  well-formed */
export function mark(text: string): string {
  return text === '' ? '' : `${OPEN}${text}${CLOSE}`;
}

export function unmark(text: string): string {
  return text.replace(MARKS, '');
}

export function hasMarks(text: string): boolean {
  return text.search(MARKS) >= 0;
}

/** What stands outside of the marks. */
export function textOutsideMarks(text: string): string {
  return text.replace(MARKED, '');
}

export function isMark(codePoint: number): boolean {
  return codePoint === 0xdc00 || codePoint === 0xdc01;
}

/** Takes away pairs that hold nothing any more. */
export function dropEmptyMarks(text: string): string {
  return text.replace(EMPTY_MARKS, '');
}

/** JSON escapes an unpaired surrogate; a mark must stay one. Escapes are read from left to right, pairs as one, so that
 * neither an escaped backslash before `udc00` nor the second half of a pair is taken for a mark. */
export function restoreMarksInJson(json: string): string {
  if (!json.includes('\\udc0')) return json;
  return json.replace(/\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|u[0-9a-f]{4}|.)/g, (escaped) => {
    if (escaped === '\\udc00') return OPEN;
    return escaped === '\\udc01' ? CLOSE : escaped;
  });
}

/** The text without marks, and where they were. Undefined when they do not pair up: then something cut through them. */
export function readMarks(marked: string): MarkedText | undefined {
  const contentSpans: [number, number][] = [];
  let text = '';
  let copied = 0;
  let openAt = -1;
  for (const { 0: found, index } of marked.matchAll(MARKS)) {
    text += marked.slice(copied, index);
    copied = index + 1;
    if ((found === OPEN) !== openAt < 0) return undefined;
    if (found === OPEN) {
      openAt = text.length;
    } else {
      if (text.length > openAt) contentSpans.push([openAt, text.length]);
      openAt = -1;
    }
  }
  return openAt < 0 ? { text: text + marked.slice(copied), contentSpans } : undefined;
}
