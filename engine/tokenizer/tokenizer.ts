/** What the engine asks of any tokenizer: text to token ids and back. Must not know how a vocabulary splits text,
 * nor which file it came from. */
import type { IncrementalDetokenizer } from './incremental-detokenizer.ts';
import type { DecodeOptions } from './token-decoder.ts';
import type { TokenType } from './token-table.ts';

export interface EncodeOptions {
  /** Put the model's own tokens around the text: BOS before it, EOS after it, as the model was trained. Default false. */
  readonly addSpecial?: boolean;
  /** Read `<|im_end|>` and its like in the text as the tokens they name. Default false: text from a user is text,
   * so that nobody can type the end of a turn. User-defined tokens are always read as tokens. */
  readonly parseSpecial?: boolean;
}

export interface Tokenizer {
  /** Ids are 0 to vocabSize - 1. */
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly unknownId: number | undefined;
  readonly paddingId: number | undefined;
  /** Any of these ends a generation: end of text, of turn, of message. */
  readonly endOfGenerationIds: ReadonlySet<number>;
  /** Whether `addSpecial` puts BOS before and EOS after a text. */
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** Text to id of every token that `parseSpecial` recognizes. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** The model's chat template (Jinja source) as its file carries it. */
  readonly chatTemplate: string | undefined;

  /** Takes any string: a lone surrogate counts as U+FFFD, as in UTF-8 encoding.
   * @throws UnsupportedError, FormatError only for a tokenizer.json whose own patterns take seconds with this text, or make
   * it many times longer */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** Bytes that are no UTF-8 become U+FFFD.
   * @throws InvalidArgumentError for an id outside the vocabulary */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /** The detokenizer for one stream of ids. Takes what `decode` takes. */
  createDetokenizer(options?: DecodeOptions): IncrementalDetokenizer;

  /** As the vocabulary spells it: `▁Hello` or `ĠHello`, `<0x0A>`. @throws InvalidArgumentError */
  tokenText(id: number): string;
  /** What the token adds to the text. A fresh copy; may end inside a character. @throws InvalidArgumentError */
  tokenBytes(id: number): Uint8Array;
  /** @throws InvalidArgumentError */
  tokenType(id: number): TokenType;
}
