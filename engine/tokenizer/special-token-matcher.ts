/** Finds tokens that are spelled out in a text: leftmost first, then the longest, in one pass. Owns the trie and the
 * rules about white space around a token. Must not know what the tokens mean. */
import { PairTable } from './pair-table.ts';

export interface MatchedToken {
  readonly id: number;
  readonly text: string;
  /** The token swallows the white space before it, or after it. */
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  /** It counts only where no letter, digit or underscore touches it. */
  readonly singleWord?: boolean;
}

/** Longest token, in UTF-16 code units; of published ones the longest has some 60. Every position of a text may be compared
 * with a whole token: `aaa...` against a token of one `a` more would take for ever if the token were a megabyte. */
export const MAX_MATCHED_LENGTH = 256;

const ROOT = 0;
const NO_TOKEN = -1;
const WHITE_SPACE = /\p{White_Space}/u;
const WORD = /[\p{L}\p{M}\p{Nd}\p{Pc}]/u;

export class SpecialTokenMatcher {
  readonly #tokens: readonly MatchedToken[];
  /** The trie's edges: (node, UTF-16 code unit) to child node. */
  readonly #edges: PairTable;
  /** Index into `tokens` of the token that ends at a node, or NO_TOKEN. */
  readonly #tokenAt: number[] = [NO_TOKEN];
  /** 1 for code units that begin a token: most of a text is passed over by this alone. */
  readonly #begins = new Uint8Array(0x10000);

  /** Of two tokens with one text the first counts. Empty texts are ignored. */
  constructor(tokens: readonly MatchedToken[]) {
    this.#tokens = tokens.filter(({ text }) => text !== '');
    this.#edges = new PairTable(this.#tokens.reduce((sum, { text }) => sum + text.length, 0));
    this.#tokens.forEach(({ text }, index) => {
      this.#insert(text, index);
    });
  }

  /** Passes on every token found and, through `onText`, every stretch between them that is not empty. */
  split(text: string, onText: (start: number, end: number) => void, onToken: (id: number) => void): void {
    let done = 0;
    let position = 0;
    while (this.#tokens.length > 0 && position < text.length) {
      const token = this.#begins[text.charCodeAt(position)] === 1 ? this.#longestAt(text, position) : undefined;
      if (token === undefined) {
        position++;
        continue;
      }
      let start = position;
      if (token.lstrip === true) while (start > done && WHITE_SPACE.test(text[start - 1]!)) start--;
      if (start > done) onText(done, start);
      onToken(token.id);
      done = position + token.text.length;
      if (token.rstrip === true) while (done < text.length && WHITE_SPACE.test(text[done]!)) done++;
      position = done;
    }
    if (done < text.length) onText(done, text.length);
  }

  #insert(text: string, index: number): void {
    this.#begins[text.charCodeAt(0)] = 1;
    let node = ROOT;
    for (let i = 0; i < text.length; i++) {
      const slot = this.#edges.add(node, text.charCodeAt(i), 0, this.#tokenAt.length);
      node = this.#edges.merged(slot);
      if (node === this.#tokenAt.length) this.#tokenAt.push(NO_TOKEN);
    }
    if (this.#tokenAt[node] === NO_TOKEN) this.#tokenAt[node] = index;
  }

  #longestAt(text: string, start: number): MatchedToken | undefined {
    let longest: MatchedToken | undefined;
    let node = ROOT;
    for (let i = start; i < text.length; i++) {
      const slot = this.#edges.find(node, text.charCodeAt(i));
      if (slot < 0) break;
      node = this.#edges.merged(slot);
      const token = this.#tokens[this.#tokenAt[node]!];
      if (token !== undefined && (token.singleWord !== true || standsAlone(text, start, i + 1))) longest = token;
    }
    return longest;
  }
}

function standsAlone(text: string, start: number, end: number): boolean {
  const before = [...text.slice(Math.max(0, start - 2), start)].at(-1) ?? '';
  const after = end < text.length ? String.fromCodePoint(text.codePointAt(end)!) : '';
  return !WORD.test(before) && !WORD.test(after);
}
