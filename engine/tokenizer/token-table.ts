/** The vocabulary as a table: for each id its text and its type. Must not know how text is split into tokens. */

/** In the order of their numbers in GGUF's `tokenizer.ggml.token_type`; SentencePiece's types, plus `undefined`.
 *   normal        ordinary text
 *   unknown       stands for what the vocabulary cannot spell
 *   control       steers the model and has no text: BOS, EOS, turn markers
 *   user-defined  text that is always one token, matched before anything is split
 *   unused        a reserved place
 *   byte          one raw byte, spelled <0x00> to <0xFF> */
export const TOKEN_TYPES = ['undefined', 'normal', 'unknown', 'control', 'user-defined', 'unused', 'byte'] as const;

export type TokenType = (typeof TOKEN_TYPES)[number];

export class TokenTable {
  readonly texts: readonly string[];
  readonly #types: readonly TokenType[];

  /** @param types  one per text */
  constructor(texts: readonly string[], types: readonly TokenType[]) {
    this.texts = texts;
    this.#types = types;
  }

  get size(): number {
    return this.texts.length;
  }

  typeOf(id: number): TokenType {
    return this.#types[id]!;
  }

  /** Control tokens and the unknown token: they have no text of their own, and text must not turn into them by chance. */
  isSpecial(id: number): boolean {
    const type = this.#types[id];
    return type === 'control' || type === 'unknown';
  }

  /** Text to id of the tokens that text may turn into by merging. Control tokens are not among them: what a user types
   * stays text. */
  mergeable(): Map<string, number> {
    return this.index(
      (type) => type === 'normal' || type === 'user-defined' || type === 'unused' || type === 'undefined',
    );
  }

  /** Text to id for all types that `accept` admits. Of two tokens with one text the lower id is used. Empty texts are left out. */
  index(accept: (type: TokenType) => boolean): Map<string, number> {
    const ids = new Map<string, number>();
    for (let id = this.texts.length - 1; id >= 0; id--) {
      if (this.texts[id] !== '' && accept(this.#types[id]!)) ids.set(this.texts[id]!, id);
    }
    return ids;
  }
}

/** The byte that `<0x0A>` spells, or undefined for any other text. */
export function parseByteToken(text: string): number | undefined {
  const match = /^<0x([0-9A-Fa-f]{2})>$/.exec(text);
  return match === null ? undefined : Number.parseInt(match[1]!, 16);
}

/** Token id of each of the 256 bytes, -1 where the table has none. */
export function byteTokenIds(tokens: TokenTable): Int32Array {
  const ids = new Int32Array(256).fill(-1);
  for (let id = tokens.size - 1; id >= 0; id--) {
    if (tokens.typeOf(id) !== 'byte') continue;
    const byte = parseByteToken(tokens.texts[id]!);
    if (byte !== undefined) ids[byte] = id;
  }
  return ids;
}
