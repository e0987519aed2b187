/** Cuts a text into pieces with one regular expression. What becomes of the matches and of the gaps between them is the
 * behaviour, named as in Hugging Face's `Split`. Joined, the pieces give the text back (but for 'removed').
 *
 *   'a  b ' at / /    isolated            a | ␣ | ␣ | b | ␣
 *                     removed             a | b
 *                     merged-with-previous  a␣ | ␣ | b␣
 *                     merged-with-next      a | ␣ | ␣b | ␣
 *                     contiguous          a | ␣␣ | b | ␣ */

/** Passes pieces on one by one. `atStart` is true where the text begins the whole input. */
export type Splitter = (text: string, atStart: boolean, emit: (piece: string) => void) => void;

export type SplitBehavior = 'isolated' | 'removed' | 'merged-with-previous' | 'merged-with-next' | 'contiguous';

/** A match longer than this, in UTF-16 code units, is cut: a regex engine keeps a place to back up to for every character
 * of a match, and V8 throws when there are some ten million. No natural text has such a word. */
const MAX_MATCH_LENGTH = 2 ** 20;
/** How much further than the longest match a window reaches, so that it need not be renewed for every match. */
const WINDOW_STEP = 4096;
/** How much of a window that held no match is searched again with the next one, so that a match across the edge is found. */
const OVERLAP = 64;

export function patternSplitter(pattern: RegExp, behavior: SplitBehavior, invert = false): Splitter {
  return (text, _atStart, emit) => {
    const joiner = joinerFor(behavior, emit);
    let done = 0;
    forEachMatch(pattern, text, (start, end) => {
      if (start > done) joiner.add(text.slice(done, start), invert);
      joiner.add(text.slice(start, end), !invert);
      done = end;
    });
    if (done < text.length) joiner.add(text.slice(done), invert);
    joiner.end();
  };
}

/** One splitter after the other, each on the pieces of the one before. */
export function sequenceSplitter(splitters: readonly Splitter[]): Splitter {
  return (text, atStart, emit) => {
    const last = splitters.reduceRight<(piece: string) => void>((next, splitter) => {
      // Only the first piece that reaches a splitter can begin the input.
      let isFirst = atStart;
      return (piece) => {
        splitter(piece, isFirst, next);
        isFirst = false;
      };
    }, emit);
    last(text);
  };
}

/** Calls back for each match that is not empty, in order. The pattern sees a window of the text that reaches far enough
 * past every place where a match starts, and all of the text before it (for lookbehind). */
function forEachMatch(pattern: RegExp, text: string, onMatch: (start: number, end: number) => void): void {
  let position = 0;
  let windowEnd = 0;
  let window = '';
  while (position < text.length) {
    if (windowEnd < text.length && windowEnd - position < MAX_MATCH_LENGTH) {
      windowEnd = alignToCharacter(text, position + MAX_MATCH_LENGTH + WINDOW_STEP);
      window = text.slice(0, windowEnd);
    }
    pattern.lastIndex = position;
    const match = pattern.exec(window);
    if (match === null) {
      if (windowEnd === text.length) return;
      position = alignToCharacter(text, windowEnd - OVERLAP);
      continue;
    }
    const start = match.index;
    if (start > position && windowEnd < text.length && windowEnd - start < MAX_MATCH_LENGTH) {
      position = start; // found near the window's edge: look again with more text behind it
      continue;
    }
    const end = alignToCharacter(text, Math.min(start + match[0].length, start + MAX_MATCH_LENGTH));
    if (end > start) onMatch(start, end);
    position = Math.max(end, start + 1);
  }
}

/** The index itself, or one less where it would part a surrogate pair. At most the text's length. */
function alignToCharacter(text: string, index: number): number {
  if (index >= text.length) return text.length;
  const unit = text.charCodeAt(index);
  return unit >= 0xdc00 && unit <= 0xdfff && index > 0 ? index - 1 : index;
}

interface Joiner {
  add(span: string, isMatch: boolean): void;
  end(): void;
}

function joinerFor(behavior: SplitBehavior, emit: (piece: string) => void): Joiner {
  if (behavior === 'isolated') return { add: emit, end: () => {} };
  if (behavior === 'removed') {
    return {
      add: (span, isMatch) => {
        if (!isMatch) emit(span);
      },
      end: () => {},
    };
  }
  return new PendingJoiner(behavior, emit);
}

/** Holds one span back until it is known whether the next one joins it. */
class PendingJoiner implements Joiner {
  readonly #behavior: SplitBehavior;
  readonly #emit: (piece: string) => void;
  #pending = '';
  #isPendingMatch = false;

  constructor(behavior: SplitBehavior, emit: (piece: string) => void) {
    this.#behavior = behavior;
    this.#emit = emit;
  }

  add(span: string, isMatch: boolean): void {
    if (this.#pending !== '' && this.#joins(isMatch)) {
      this.#pending += span;
    } else {
      this.end();
      this.#pending = span;
    }
    this.#isPendingMatch = isMatch;
  }

  end(): void {
    if (this.#pending !== '') this.#emit(this.#pending);
    this.#pending = '';
  }

  #joins(isMatch: boolean): boolean {
    if (this.#behavior === 'contiguous') return isMatch === this.#isPendingMatch;
    if (this.#behavior === 'merged-with-previous') return isMatch && !this.#isPendingMatch;
    return !isMatch && this.#isPendingMatch;
  }
}
