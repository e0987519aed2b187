/** Character-level BPE with byte fallback (SentencePiece, Llama 1 and 2): the first symbols are characters; a character
 * that is in no token is spelled as bytes, <0xF0><0x9F><0xA6><0x99>. Owns text to ids, where spaces are already '▁'.
 *
 * Unlike byte-level BPE there is no pre-tokenizer: in principle merging runs over the whole text. But if no token has a
 * '▁' after another character, then no merge crosses the place before a '▁' that starts a word, and the words can be
 * merged one by one, with a cache, to the very same ids. */
import { BpeMerger, type MergeRules } from './bpe-merger.ts';
import { PieceCache } from './piece-cache.ts';
import type { PieceModel } from './piece-model.ts';

const SPACE = '▁';
const KEPT_LENGTH = 1024;

export interface CharacterModelOptions {
  /** Text to id of all tokens that merging may produce, single characters among them. */
  readonly idByText: ReadonlyMap<string, number>;
  /** Symbols past the vocabulary, `vocabSize` and on, for characters that are in tokens but are none themselves:
   * see `spellingCharacters`. */
  readonly extraSymbols: readonly string[];
  readonly vocabSize: number;
  readonly rules: MergeRules;
  /** Token of each byte, -1 where there is none. */
  readonly byteIds: Int32Array;
  /** For characters whose bytes have no tokens either; without it they are dropped. */
  readonly unknownId: number | undefined;
  /** One unknown token for a whole run of such characters. */
  readonly fuseUnknown: boolean;
}

export class CharacterModel implements PieceModel {
  readonly #options: CharacterModelOptions;
  /** Character to symbol. */
  readonly #symbols: ReadonlyMap<string, number>;
  readonly #merger: BpeMerger;
  readonly #splitsWords: boolean;
  readonly #cache = new PieceCache();
  readonly #kept = new Int32Array(KEPT_LENGTH);
  readonly #encoder = new TextEncoder();

  constructor(options: CharacterModelOptions) {
    const symbols = new Map<string, number>();
    for (const [text, id] of options.idByText) if (isOneCharacter(text)) symbols.set(text, id);
    options.extraSymbols.forEach((text, i) => {
      symbols.set(text, options.vocabSize + i);
    });
    this.#options = options;
    this.#symbols = symbols;
    this.#merger = new BpeMerger(options.rules);
    this.#splitsWords = !hasInnerSpace(options.idByText.keys());
  }

  encodePiece(piece: string, out: number[]): void {
    if (!this.#splitsWords) {
      this.#encodeWord(piece, out);
      return;
    }
    // A word is a run of '▁' and what follows it, up to the next '▁'.
    let start = 0;
    while (start < piece.length) {
      let end = start;
      while (end < piece.length && piece[end] === SPACE) end++;
      end = piece.indexOf(SPACE, end);
      if (end < 0) end = piece.length;
      this.#encodeWord(piece.slice(start, end), out);
      start = end;
    }
  }

  #encodeWord(word: string, out: number[]): void {
    if (this.#cache.append(word, out)) return;
    const start = out.length;
    const symbols = word.length <= KEPT_LENGTH ? this.#kept : new Int32Array(word.length);
    let numSymbols = 0;
    // A character that is no symbol is kept as ~codePoint: negative, so it never merges, and not lost.
    for (const char of word) symbols[numSymbols++] = this.#symbols.get(char) ?? ~char.codePointAt(0)!;
    this.#emit(symbols, this.#merger.merge(symbols, numSymbols), out);
    this.#cache.remember(word, out, start);
  }

  #emit(symbols: Int32Array, count: number, out: number[]): void {
    const { vocabSize, extraSymbols, unknownId, fuseUnknown } = this.#options;
    let isAfterUnknown = false;
    for (let i = 0; i < count; i++) {
      const symbol = symbols[i]!;
      if (symbol >= 0 && symbol < vocabSize) {
        out.push(symbol);
        isAfterUnknown = false;
        continue;
      }
      const char = symbol < 0 ? String.fromCodePoint(~symbol) : extraSymbols[symbol - vocabSize]!;
      const isSpelled = this.#emitBytes(char, out);
      if (!isSpelled && unknownId !== undefined && !(fuseUnknown && isAfterUnknown)) out.push(unknownId);
      isAfterUnknown = !isSpelled;
    }
  }

  /** False, and nothing appended, when one of the character's bytes has no token. */
  #emitBytes(char: string, out: number[]): boolean {
    const { byteIds } = this.#options;
    const bytes = this.#encoder.encode(char);
    if (!bytes.every((byte) => byteIds[byte]! >= 0)) return false;
    for (const byte of bytes) out.push(byteIds[byte]!);
    return true;
  }
}

/** Characters that occur inside tokens but are no token themselves. A text rule ("merge when the joined text is a token")
 * can still merge them, so they need symbols of their own. */
export function spellingCharacters(idByText: ReadonlyMap<string, number>): string[] {
  const extra = new Set<string>();
  for (const text of idByText.keys()) for (const char of text) if (!idByText.has(char)) extra.add(char);
  return [...extra];
}

function isOneCharacter(text: string): boolean {
  return text.length === 1 || (text.length === 2 && text.codePointAt(0)! > 0xffff);
}

function hasInnerSpace(texts: Iterable<string>): boolean {
  for (const text of texts) if (/[^▁]▁/u.test(text)) return true;
  return false;
}
