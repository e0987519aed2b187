/** Token ids to text, one id at a time, for a stream that a person reads.
 *
 * A token may end inside a character: 🦙 is four bytes, often four tokens. `push` returns only whole characters and keeps
 * the rest until the bytes that complete it arrive, or prove that it never will be one:
 *
 *   push(<0xF0>) -> ''   push(<0x9F>) -> ''   push(<0xA6>) -> ''   push(<0x99>) -> '🦙'
 *   push(<0xF0>) -> ''   push('a')    -> '\uFFFDa'
 *
 * However the ids are spread over calls, the joined results equal `decode` of all of them. */

import { type DecodeOptions, LeadingSpaceRemover, type TokenDecoder } from './token-decoder.ts';

export class IncrementalDetokenizer {
  readonly #decoder: TokenDecoder;
  readonly #skipSpecial: boolean;
  readonly #leading: LeadingSpaceRemover;
  /** Holds back incomplete sequences and replaces malformed ones as the Encoding Standard says (UTF-8 decoder, "stream").
   * `ignoreBOM` keeps a U+FEFF in the text, strange as the name is. */
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(decoder: TokenDecoder, options: DecodeOptions = {}) {
    this.#decoder = decoder;
    this.#skipSpecial = options.skipSpecial ?? false;
    this.#leading = new LeadingSpaceRemover(options.continuation === true ? 0 : decoder.numLeadingSpaces);
  }

  /** The text that is certain now, '' while a character is incomplete. @throws InvalidArgumentError for an unknown id */
  push(id: number): string {
    const bytes = this.#leading.remove(this.#decoder.bytes(id, this.#skipSpecial));
    return this.#utf8.decode(bytes, { stream: true });
  }

  /** The end of the stream: what was held back becomes U+FFFD. */
  flush(): string {
    return this.#utf8.decode();
  }
}

/** The whole text of `ids` at once. @throws InvalidArgumentError for an unknown id */
export function decodeAll(decoder: TokenDecoder, ids: Iterable<number>, options: DecodeOptions = {}): string {
  const leading = new LeadingSpaceRemover(options.continuation === true ? 0 : decoder.numLeadingSpaces);
  const chunks: Uint8Array[] = [];
  for (const id of ids) chunks.push(leading.remove(decoder.bytes(id, options.skipSpecial ?? false)));
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(chunks));
}
