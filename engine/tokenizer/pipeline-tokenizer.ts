/** A tokenizer put together from its stages. Owns their order; each stage is its own file, and which ones a model has is
 * decided where its file is read (`from-gguf-metadata.ts`, `json/from-tokenizer-json.ts`).
 *
 *   text -> special tokens cut out -> normalize -> split into pieces -> pieces to ids -> BOS and EOS around
 *           special-token-matcher                  pattern-splitter     *-model.ts                          */
import { InvalidArgumentError } from '../errors.ts';
import { decodeAll, IncrementalDetokenizer } from './incremental-detokenizer.ts';
import type { Splitter } from './pattern-splitter.ts';
import type { PieceModel } from './piece-model.ts';
import { type MatchedToken, SpecialTokenMatcher } from './special-token-matcher.ts';
import { type DecodeOptions, TokenDecoder, type TokenSpelling } from './token-decoder.ts';
import type { TokenTable, TokenType } from './token-table.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer.ts';

/** The ids that have a role. All inside the vocabulary. */
export interface SpecialIds {
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly unknownId: number | undefined;
  readonly paddingId: number | undefined;
  readonly endOfGenerationIds: ReadonlySet<number>;
  /** Put before and after a text by `addSpecial`. */
  readonly prefixIds: readonly number[];
  readonly suffixIds: readonly number[];
}

export interface TokenizerParts {
  readonly tokens: TokenTable;
  readonly special: SpecialIds;
  /** Tokens recognized in text: control and unknown ones only with `parseSpecial`, the others always. */
  readonly matchedTokens: readonly MatchedToken[];
  /** Each stretch of text between special tokens, before it is split. */
  readonly normalize: (text: string) => string;
  /** Absent: the stretch is one piece. */
  readonly split: Splitter | undefined;
  /** Runs what finds the pieces of a text, or throws when it takes too long. Absent: it is known to end. */
  readonly withinTime?: ((textLength: number, findPieces: () => void) => void) | undefined;
  readonly model: PieceModel;
  readonly spelling: TokenSpelling;
  readonly chatTemplate: string | undefined;
}

export class PipelineTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly unknownId: number | undefined;
  readonly paddingId: number | undefined;
  readonly endOfGenerationIds: ReadonlySet<number>;
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly chatTemplate: string | undefined;
  readonly #parts: TokenizerParts;
  readonly #decoder: TokenDecoder;
  readonly #allMatcher: SpecialTokenMatcher;
  readonly #textMatcher: SpecialTokenMatcher;

  constructor(parts: TokenizerParts) {
    const { tokens, special, matchedTokens } = parts;
    this.vocabSize = tokens.size;
    this.bosId = special.bosId;
    this.eosId = special.eosId;
    this.unknownId = special.unknownId;
    this.paddingId = special.paddingId;
    this.endOfGenerationIds = special.endOfGenerationIds;
    this.addBos = special.bosId !== undefined && special.prefixIds.includes(special.bosId);
    this.addEos = special.eosId !== undefined && special.suffixIds.includes(special.eosId);
    this.specialTokens = new Map(matchedTokens.map(({ text, id }) => [text, id]));
    this.chatTemplate = parts.chatTemplate;
    this.#parts = parts;
    this.#decoder = new TokenDecoder(tokens, parts.spelling);
    this.#allMatcher = new SpecialTokenMatcher(matchedTokens);
    this.#textMatcher = new SpecialTokenMatcher(matchedTokens.filter(({ id }) => !tokens.isSpecial(id)));
  }

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    if (typeof text !== 'string') throw new InvalidArgumentError('text', `must be a string, got ${typeof text}`);
    const { model, special, withinTime } = this.#parts;
    const wellFormed = text.toWellFormed();
    const ids: number[] = options.addSpecial === true ? [...special.prefixIds] : [];
    const take = (found: string | number): void => {
      if (typeof found === 'number') ids.push(found);
      else model.encodePiece(found, ids);
    };
    const matcher = options.parseSpecial === true ? this.#allMatcher : this.#textMatcher;
    if (withinTime === undefined) {
      this.#cut(wellFormed, matcher, take);
    } else {
      // What may be stopped halfway only gathers.
      const found: (string | number)[] = [];
      withinTime(wellFormed.length, () => this.#cut(wellFormed, matcher, (item) => found.push(item)));
      for (const item of found) take(item);
    }
    if (options.addSpecial === true) ids.push(...special.suffixIds);
    return new Int32Array(ids);
  }

  /** Passes on, in order, the ids of special tokens and the pieces of the text between them. */
  #cut(text: string, matcher: SpecialTokenMatcher, onFound: (found: string | number) => void): void {
    const { normalize, split } = this.#parts;
    matcher.split(
      text,
      (start, end) => {
        const normalized = normalize(text.slice(start, end));
        if (split === undefined) onFound(normalized);
        else split(normalized, start === 0, onFound);
      },
      onFound,
    );
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    return decodeAll(this.#decoder, ids, options);
  }

  createDetokenizer(options: DecodeOptions = {}): IncrementalDetokenizer {
    return new IncrementalDetokenizer(this.#decoder, options);
  }

  tokenText(id: number): string {
    this.#decoder.checkId(id);
    return this.#parts.tokens.texts[id]!;
  }

  tokenBytes(id: number): Uint8Array {
    return this.#decoder.bytes(id, false).slice();
  }

  tokenType(id: number): TokenType {
    this.#decoder.checkId(id);
    return this.#parts.tokens.typeOf(id);
  }
}
