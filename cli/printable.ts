/** Text out of a file, made safe for a terminal: control characters could move the cursor, rewrite what was shown, or turn
 * the direction of reading. */

/** Controls, format characters (among them those of direction and of no width), line and paragraph separators, halves of
 * surrogate pairs. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escaped);
}

/** Running text with its line feeds and tabs: only the controls, which a terminal obeys, become visible. What joins or
 * directs letters is part of many languages and stays. */
export function visibleControls(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, escaped);
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

/** A value as JSON that any terminal can show. JSON.stringify escapes the controls below U+0020; the rest that it leaves as
 * they are get JSON's own escapes, so that the value stays the same. */
export function printableJson(value: unknown): string {
  const text = JSON.stringify(value, (_key, item) => (typeof item === 'bigint' ? item.toString() : item));
  return text.replace(UNPRINTABLE, (character) => {
    let units = '';
    for (let i = 0; i < character.length; i++) units += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
    return units;
  });
}
