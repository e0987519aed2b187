/** From a rendered conversation to token ids, such that the template's special tokens become tokens and the messages'
 * never do. Must not know templates or messages, only which characters are content.
 *
 * The whole text is encoded at once, special tokens parsed, exactly as other runtimes do. The exception is a text where
 * content spells a special token, alone or together with its neighbours. There the text is cut within what is spelled and
 * the pieces are encoded one by one: no piece holds the token any more, and nothing else is changed.
 *
 *   <|im_start|>user\nBye<|im_end|><|im_end|>\n             content is Bye<|im_end|>
 *   <|im_start|>user\nBye + < + |im_end|><|im_end|>\n       the first is text now, the second still a token */
import { UnsupportedError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import { SpecialTokenMatcher } from '../tokenizer/special-token-matcher.ts';
import type { MarkedPrompt } from './chat-template.ts';

interface Match {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

/** A stretch of the text that is encoded by itself. */
interface Piece {
  readonly start: number;
  readonly end: number;
  readonly parseSpecial: boolean;
}

/** How far to look at first, in characters. */
const WINDOW = 256;

/** Finds what a tokenizer would read as a special token. Made once per tokenizer. */
export class PromptEncoder {
  readonly #tokenizer: Tokenizer;
  readonly #matcher: SpecialTokenMatcher;
  readonly #lengths: ReadonlyMap<number, number>;
  readonly #maxLength: number;

  constructor(tokenizer: Tokenizer) {
    const tokens = [...tokenizer.specialTokens].map(([text, id]) => ({ text, id }));
    this.#tokenizer = tokenizer;
    this.#matcher = new SpecialTokenMatcher(tokens);
    this.#lengths = new Map(tokens.map(({ text, id }) => [id, text.length]));
    this.#maxLength = Math.max(0, ...this.#lengths.values());
  }

  /** With BOS in front once, if the model wants one, whether or not the template wrote it. Never with EOS behind.
   * @throws UnsupportedError where a message spells a special token and it cannot be told from the template's own */
  encode(prompt: MarkedPrompt): Int32Array {
    const { bosId, addBos } = this.#tokenizer;
    const ids = this.#encodeText(prompt);
    if (!addBos || bosId === undefined || ids[0] === bosId) return ids;
    const withBos = new Int32Array(ids.length + 1);
    withBos[0] = bosId;
    withBos.set(ids, 1);
    return withBos;
  }

  #encodeText(prompt: MarkedPrompt): Int32Array {
    const pieces = this.#cut(prompt);
    if (pieces.length === 1) return this.#tokenizer.encode(prompt.text, { parseSpecial: true });
    this.#checkBlurred(prompt);
    const ids: number[] = [];
    for (const { start, end, parseSpecial } of pieces) {
      for (const id of this.#tokenizer.encode(prompt.text.slice(start, end), { parseSpecial })) ids.push(id);
    }
    this.#checkControlTokens(ids, prompt, pieces);
    return Int32Array.from(ids);
  }

  /** Pieces in which content is no part of any special token. One piece when it never was. */
  #cut(prompt: MarkedPrompt): Piece[] {
    const pieces: Piece[] = [];
    let start = 0;
    for (let forged = this.#nextForged(prompt, 0); forged !== undefined; forged = this.#nextForged(prompt, start)) {
      const content = firstContent(prompt.contentSpans, forged.start, forged.end);
      pieces.push({ start, end: content, parseSpecial: true });
      start = content;
      if (content > forged.start) continue;
      // It begins in content. Its first character alone may be a token too.
      const length = String.fromCodePoint(prompt.text.codePointAt(start)!).length;
      pieces.push({ start, end: start + length, parseSpecial: false });
      start += length;
    }
    pieces.push({ start, end: prompt.text.length, parseSpecial: true });
    return pieces;
  }

  /** The next special token from `start` on that content has a part in. Looks twice as far whenever it finds none, so
   * that n forged tokens cost O(n) and not O(n²). */
  #nextForged(prompt: MarkedPrompt, start: number): Match | undefined {
    for (let size = WINDOW + this.#maxLength; ; size *= 2) {
      const isWhole = start + size >= prompt.text.length;
      const matches = this.#controlTokens(prompt.text.slice(start, start + size), start);
      const forged = matches.find((match) => hasContent(prompt, match));
      // Near the window's end a longer token might begin at the same place.
      if (isWhole || (forged !== undefined && forged.start + this.#maxLength <= start + size)) return forged;
    }
  }

  /** As a tokenizer finds them in `text`, which begins at `offset`. */
  #controlTokens(text: string, offset: number): Match[] {
    const matches: Match[] = [];
    let position = offset;
    this.#matcher.split(
      text,
      (from, to) => {
        position += to - from;
      },
      (id) => {
        const end = position + this.#lengths.get(id)!;
        if (this.#isControl(id)) matches.push({ id, start: position, end });
        position = end;
      },
    );
    return matches;
  }

  /** Tokens that only `parseSpecial` finds. The others are tokens in anybody's text. */
  #isControl(id: number): boolean {
    const type = this.#tokenizer.tokenType(id);
    return type === 'control' || type === 'unknown';
  }

  #checkBlurred({ blurredText }: MarkedPrompt): void {
    for (const text of blurredText) {
      const [token] = this.#controlTokens(text, 0);
      if (token !== undefined) throw cannotKeepApart(this.#tokenizer.tokenText(token.id));
    }
  }

  /** The proof: of control tokens there are those that the template wrote and no other. */
  #checkControlTokens(ids: readonly number[], prompt: MarkedPrompt, pieces: readonly Piece[]): void {
    const expected: Match[] = [];
    for (const { start, end, parseSpecial } of pieces) {
      if (parseSpecial)
        for (const match of this.#controlTokens(prompt.text.slice(start, end), start)) expected.push(match);
    }
    const forged = expected.find((match) => hasContent(prompt, match));
    if (forged !== undefined) throw cannotKeepApart(this.#tokenizer.tokenText(forged.id));
    const isControl = (id: number): boolean => this.#tokenizer.tokenType(id) === 'control';
    const expectedIds = expected.map(({ id }) => id).filter(isControl);
    const wrong = ids.filter(isControl).find((id, i) => id !== expectedIds[i]);
    if (wrong !== undefined) throw cannotKeepApart(this.#tokenizer.tokenText(wrong));
  }
}

function hasContent({ contentSpans }: MarkedPrompt, { start, end }: Match): boolean {
  return firstContent(contentSpans, start, end) < end;
}

/** The first character of content from `start` on, `end` if there is none before. */
function firstContent(spans: MarkedPrompt['contentSpans'], start: number, end: number): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (spans[middle]![1] <= start) low = middle + 1;
    else high = middle;
  }
  return low === spans.length ? end : Math.min(end, Math.max(start, spans[low]![0]));
}

function cannotKeepApart(token: string): UnsupportedError {
  return new UnsupportedError(
    `a message that spells the special token ${token}`,
    "this model's chat template and tokenizer do not let it be kept apart from the template's own; leave it out",
  );
}
