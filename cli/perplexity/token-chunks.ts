/** Token ids of a text too long to be encoded at once, the same ids as if it had been.
 *
 * Where a text may be cut without changing a token depends on the tokenizer. So a cut is proposed where most tokenizers
 * start a new piece anyway, before the white space after a word, and then tried out: the text on its left must have the same
 * tokens with and without the text on its right, and the text on its right is encoded together with a stretch on its left,
 * whose tokens are then taken off again:
 *
 *        ... | context | next chunk ..........|
 *                      ^ cut                  ^ the next cut is proposed here
 *   encode(context)             = c1 c2 c3
 *   encode(context next chunk)  = c1 c2 c3 n1 n2 n3 ...      must begin with the same c1 c2 c3
 *
 * A cut that fails is not made; another is proposed, and when none holds in a long stretch of text, that is an error: tokens
 * never change silently. */
import { UnsupportedError } from '../../engine/errors.ts';
import type { Tokenizer } from '../../engine/tokenizer/index.ts';

export interface TokenChunkOptions {
  /** Read `<|endoftext|>` and its like in the text as the tokens they name. */
  readonly parseSpecial: boolean;
  /** Text encoded at a time, in UTF-16 units. Default 65,536. */
  readonly chunkLength?: number;
  /** Text on either side of a cut that it is tried with, in UTF-16 units. Default 1,024. */
  readonly contextLength?: number;
}

/** A longer stretch without a place to cut is no text. */
const MAX_CHUNKS_WITHOUT_CUT = 256;
/** Cuts proposed at the end of a chunk before more text is read. */
const MAX_PROPOSALS = 64;
/** Tokens before a cut that must not depend on how much text lies before them. */
const NUM_COMPARED_TOKENS = 8;

/** @throws UnsupportedError when the text cannot be cut */
export async function* tokenChunks(
  text: AsyncIterable<string>,
  tokenizer: Pick<Tokenizer, 'encode'>,
  options: TokenChunkOptions,
): AsyncGenerator<Int32Array> {
  const { parseSpecial, chunkLength = 65_536, contextLength = 1024 } = options;
  const cutter = new Cutter((part) => tokenizer.encode(part, { parseSpecial }), contextLength);
  let pending = '';
  let wanted = chunkLength;
  for await (const part of text) {
    pending += part;
    while (pending.length >= wanted + contextLength) {
      const cut = cutter.cut(pending, wanted);
      if (cut === undefined) {
        wanted += chunkLength;
        if (wanted > MAX_CHUNKS_WITHOUT_CUT * chunkLength) throw cannotCut(wanted);
      } else {
        yield cut.tokenIds;
        pending = pending.slice(cut.position);
        wanted = chunkLength;
      }
    }
  }
  if (pending !== '') yield cutter.rest(pending);
}

class Cutter {
  readonly #encode: (text: string) => Int32Array;
  readonly #contextLength: number;
  /** Text before the last cut, and its tokens. */
  #context = '';
  #contextTokenIds: Int32Array = new Int32Array(0);

  constructor(encode: (text: string) => Int32Array, contextLength: number) {
    this.#encode = encode;
    this.#contextLength = contextLength;
  }

  /** The tokens of `text` up to a cut at or before `end`; undefined when there is no good place. */
  cut(text: string, end: number): { readonly position: number; readonly tokenIds: Int32Array } | undefined {
    let numProposals = 0;
    for (const position of proposals(text, end)) {
      if (++numProposals > MAX_PROPOSALS) return undefined;
      const context = text.slice(Math.max(0, position - this.#contextLength), position);
      const contextTokenIds = this.#encode(context);
      const after = text.slice(position, position + this.#contextLength);
      if (!startsWith(this.#encode(context + after), contextTokenIds)) continue;
      const tokenIds = this.rest(text.slice(0, position));
      if (!endsAlike(tokenIds, contextTokenIds)) continue;
      this.#context = context;
      this.#contextTokenIds = contextTokenIds;
      return { position, tokenIds };
    }
    return undefined;
  }

  /** The tokens of the text after the last cut. */
  rest(text: string): Int32Array {
    const tokenIds = this.#encode(this.#context + text);
    if (!startsWith(tokenIds, this.#contextTokenIds)) throw cannotCut(this.#context.length + text.length);
    return tokenIds.subarray(this.#contextTokenIds.length);
  }
}

/** Places between a character and white space after it, from `end` down. */
function* proposals(text: string, end: number): Generator<number> {
  for (let i = end; i > 0; i--) if (isSpace(text, i) && !isSpace(text, i - 1)) yield i;
}

function isSpace(text: string, i: number): boolean {
  const code = text.charCodeAt(i);
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function startsWith(tokenIds: Int32Array, start: Int32Array): boolean {
  return start.length <= tokenIds.length && start.every((id, i) => id === tokenIds[i]);
}

/** The context is cut off on its left anywhere, which may change its first tokens but must not change its last. */
function endsAlike(tokenIds: Int32Array, contextTokenIds: Int32Array): boolean {
  const count = Math.min(NUM_COMPARED_TOKENS, tokenIds.length, contextTokenIds.length);
  const last = tokenIds.subarray(tokenIds.length - count);
  return contextTokenIds.subarray(contextTokenIds.length - count).every((id, i) => id === last[i]);
}

function cannotCut(length: number): UnsupportedError {
  return new UnsupportedError(
    'this text',
    `in ${length} characters there is no place where it can be cut without changing its tokens; use a smaller file`,
  );
}
