/** Token ids to bytes: what each token adds to the text. The bytes of one token need not be whole characters; turning
 * bytes into a string is the detokenizers' matter. */
import { InvalidArgumentError } from '../errors.ts';
import { spelledBytes } from './byte-alphabet.ts';
import { parseByteToken, type TokenTable } from './token-table.ts';

export interface DecodeOptions {
  /** Leave out control tokens and the unknown token. Default false. */
  readonly skipSpecial?: boolean;
  /** The ids go on where other ids stopped, so that a leading space belongs to the text. Default false.
   * A generated continuation of a non-empty prompt wants true. */
  readonly continuation?: boolean;
}

export interface TokenSpelling {
  /** Ordinary tokens are spelled in the byte alphabet; else they are text. */
  readonly isByteLevel: boolean;
  /** Replacements in the text of ordinary tokens, in order: `['▁', ' ']`. */
  readonly replacements: readonly (readonly [string, string])[];
  /** How many spaces at the start of the whole text were put there by encoding and are taken away again. */
  readonly numLeadingSpaces: number;
}

const NO_BYTES = new Uint8Array(0);
const SPACE = 0x20;
/** Text repeats its tokens; the bytes of this many are remembered, then forgotten all at once. */
const MAX_REMEMBERED = 8192;

export class TokenDecoder {
  readonly tokens: TokenTable;
  readonly numLeadingSpaces: number;
  readonly #spelling: TokenSpelling;
  readonly #encoder = new TextEncoder();
  readonly #remembered = new Map<number, Uint8Array>();

  constructor(tokens: TokenTable, spelling: TokenSpelling) {
    this.tokens = tokens;
    this.numLeadingSpaces = spelling.numLeadingSpaces;
    this.#spelling = spelling;
  }

  /** @throws InvalidArgumentError for an id outside the vocabulary */
  checkId(id: number): void {
    if (Number.isInteger(id) && id >= 0 && id < this.tokens.size) return;
    throw new InvalidArgumentError('token id', `must be a whole number from 0 to ${this.tokens.size - 1}, got ${id}`);
  }

  /** What the token adds to a text; nothing when special tokens are skipped and it is one. Shared: not to be written to.
   * @throws InvalidArgumentError */
  bytes(id: number, skipSpecial: boolean): Uint8Array {
    const known = this.#remembered.get(id);
    if (known !== undefined && !skipSpecial) return known;
    this.checkId(id);
    if (skipSpecial && this.tokens.isSpecial(id)) return NO_BYTES;
    if (known !== undefined) return known;
    if (this.#remembered.size === MAX_REMEMBERED) this.#remembered.clear();
    const bytes = this.#spell(id);
    this.#remembered.set(id, bytes);
    return bytes;
  }

  #spell(id: number): Uint8Array {
    const text = this.tokens.texts[id]!;
    const type = this.tokens.typeOf(id);
    const byte = type === 'byte' ? parseByteToken(text) : undefined;
    if (byte !== undefined) return Uint8Array.of(byte);
    if (type === 'control' || type === 'unknown' || type === 'user-defined') return this.#encoder.encode(text);
    if (this.#spelling.isByteLevel) return spelledBytes(text) ?? this.#encoder.encode(text);
    return this.#encoder.encode(
      this.#spelling.replacements.reduce((done, [from, to]) => done.replaceAll(from, to), text),
    );
  }
}

/** Takes the spaces away that encoding put at the start of a text. One per text: it counts what it has taken. */
export class LeadingSpaceRemover {
  #numLeft: number;

  constructor(numSpaces: number) {
    this.#numLeft = numSpaces;
  }

  /** The bytes that remain; the next ones of the same text go into the next call. */
  remove(bytes: Uint8Array): Uint8Array {
    let start = 0;
    while (this.#numLeft > 0 && start < bytes.length) {
      if (bytes[start] === SPACE) {
        start++;
        this.#numLeft--;
      } else {
        this.#numLeft = 0;
      }
    }
    return start === 0 ? bytes : bytes.subarray(start);
  }
}
