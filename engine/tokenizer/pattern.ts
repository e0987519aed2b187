/** Tokenizer patterns are written for Oniguruma (Hugging Face) or Rust's regex crate (tiktoken). JavaScript's regexes
 * have the same core but other edges; this file translates, and refuses what it cannot translate exactly.
 *
 *   \s         White_Space there; here also U+FEFF and without U+0085    -> \p{White_Space}
 *   \d \w      Unicode there, ASCII here                                 -> \p{Nd}, [\p{L}\p{M}\p{Nd}\p{Pc}]
 *   (?i:'s)    not in every Node that Quern supports                     -> (?:'[sSſ])   (ſ is a case of s in Unicode)
 *   x++        possessive; missing here                                  -> (?=(?<p0>x+))\k<p0>
 *   ^ $ .      know only \n as a line's end, and ^ $ stand at every line  -> (?<![^\n]), (?![^\n]), [^\n]
 *   \' \-      needless escapes are errors in JavaScript's u mode        -> ' or \x2d
 *   \p{Han}    a script's bare name                                      -> \p{Script=Han} */
import { UnsupportedError } from '../errors.ts';

const OPENINGS = ['(?:', '(?=', '(?!', '(?<=', '(?<!', '(?i:'];
const CLASS_ESCAPES: Readonly<Record<string, string>> = {
  s: '\\p{White_Space}',
  S: '\\P{White_Space}',
  d: '\\p{Nd}',
  D: '\\P{Nd}',
  w: '\\p{L}\\p{M}\\p{Nd}\\p{Pc}',
};
const CONTROL_ESCAPES = 'rntfv';
const ANCHORS: Readonly<Record<string, string>> = { '^': '(?<![^\\n])', $: '(?![^\\n])', '.': '[^\\n]' };
/** Simple case folding brings these two in besides the ASCII pair. */
const EXTRA_CASES: Readonly<Record<string, string>> = { s: 'ſ', k: '\u212a' };

/** Ten times the longest that a published tokenizer has. */
const MAX_PATTERN_LENGTH = 2 ** 14;

/** The pattern as a JavaScript regex with the flags `gu`.
 * @throws UnsupportedError naming the pattern when it uses what JavaScript cannot do the same way */
export function compilePattern(source: string): RegExp {
  if (source.length > MAX_PATTERN_LENGTH) {
    throw unsupported(source, `it has ${source.length} characters, more than ${MAX_PATTERN_LENGTH}`);
  }
  try {
    const regex = new RegExp(new Translator(source).translate(), 'gu');
    // Only a match compiles a regex, for one-byte and for two-byte texts apart; here is the place to fail.
    for (const text of ['', '\u0100']) regex.exec(text);
    regex.lastIndex = 0;
    return regex;
  } catch (cause) {
    if (cause instanceof UnsupportedError) throw cause;
    throw unsupported(source, (cause as Error).message);
  }
}

/** A regex that matches `text` and nothing else. */
export function compileLiteral(text: string): RegExp {
  return new RegExp([...text].map(literal).join(''), 'gu');
}

function unsupported(source: string, reason: string): UnsupportedError {
  return new UnsupportedError(`the tokenizer pattern ${source}`, reason, { pattern: source });
}

function literal(char: string): string {
  return /[\p{L}\p{N} ]/u.test(char) ? char : `\\u{${char.codePointAt(0)!.toString(16)}}`;
}

interface OpenGroup {
  readonly start: number;
  readonly ignoresCase: boolean;
}

class Translator {
  readonly #source: string;
  #position = 0;
  #out = '';
  /** Where the last complete atom starts in `#out`: what a quantifier applies to. */
  #atomStart = 0;
  #ignoresCase = false;
  #numPossessive = 0;
  readonly #groups: OpenGroup[] = [];

  constructor(source: string) {
    this.#source = source;
  }

  translate(): string {
    while (this.#position < this.#source.length) this.#step();
    return this.#out;
  }

  #step(): void {
    const char = this.#source[this.#position]!;
    if (char === '(') this.#openGroup();
    else if (char === ')') this.#closeGroup();
    else if (char === '[') this.#characterClass();
    else if (char === '\\') this.#atom(this.#escape(false));
    else if (char === '|') this.#atom(this.#take(1));
    else if (char in ANCHORS) this.#atom(ANCHORS[this.#take(1)]!);
    else if (/[*+?{]/.test(char)) this.#quantifier();
    else this.#atom(this.#letter(this.#takeCharacter()));
  }

  #take(length: number): string {
    const taken = this.#source.slice(this.#position, this.#position + length);
    this.#position += length;
    return taken;
  }

  #takeCharacter(): string {
    return this.#take(this.#source.codePointAt(this.#position)! > 0xffff ? 2 : 1);
  }

  #atom(translated: string): void {
    this.#atomStart = this.#out.length;
    this.#out += translated;
  }

  #letter(char: string): string {
    if (!this.#ignoresCase || !/\p{L}/u.test(char)) return literal(char);
    return `[${this.#cases(char)}]`;
  }

  /** All cases of a letter, for use inside a class. */
  #cases(char: string): string {
    if (!/[A-Za-z]/.test(char))
      throw unsupported(this.#source, `case-insensitive '${char}': only A to Z are translated`);
    const lower = char.toLowerCase();
    return lower + lower.toUpperCase() + (EXTRA_CASES[lower] ?? '');
  }

  #openGroup(): void {
    const rest = this.#source.slice(this.#position, this.#position + 4);
    const opening = rest.startsWith('(?') ? OPENINGS.find((known) => rest.startsWith(known)) : '(';
    if (opening === undefined) throw unsupported(this.#source, `the group ${rest} is not translated`);
    this.#groups.push({ start: this.#out.length, ignoresCase: this.#ignoresCase });
    this.#position += opening.length;
    if (opening === '(?i:') this.#ignoresCase = true;
    this.#out += opening === '(' || opening === '(?i:' ? '(?:' : opening;
  }

  #closeGroup(): void {
    const group = this.#groups.pop();
    if (group === undefined) throw unsupported(this.#source, 'unmatched )');
    this.#position++;
    this.#out += ')';
    this.#atomStart = group.start;
    this.#ignoresCase = group.ignoresCase;
  }

  #quantifier(): void {
    const match = /^(?:[*+?]|\{\d+(?:,\d*)?\})([?+]?)/.exec(this.#source.slice(this.#position, this.#position + 24));
    if (match === null) throw unsupported(this.#source, `the quantifier at offset ${this.#position} is not translated`);
    this.#position += match[0].length;
    if (match[1] !== '+') {
      this.#out += match[0];
      return;
    }
    // Possessive: match greedily inside a lookahead, which is never entered again, then consume what it found.
    const name = `p${this.#numPossessive++}`;
    const repeated = this.#out.slice(this.#atomStart) + match[0].slice(0, -1);
    this.#out = `${this.#out.slice(0, this.#atomStart)}(?=(?<${name}>${repeated}))\\k<${name}>`;
  }

  #characterClass(): void {
    const start = this.#out.length;
    this.#out += this.#take(this.#source[this.#position + 1] === '^' ? 2 : 1);
    let isFirst = true;
    for (; this.#source[this.#position] !== ']' || isFirst; isFirst = false) {
      if (this.#position >= this.#source.length) throw unsupported(this.#source, 'unmatched [');
      this.#out += this.#classMember(isFirst);
    }
    this.#out += this.#take(1);
    this.#atomStart = start;
  }

  #classMember(isFirst: boolean): string {
    const char = this.#source[this.#position]!;
    if (char === '[' || this.#source.startsWith('&&', this.#position)) {
      throw unsupported(this.#source, 'nested character classes are not translated');
    }
    if (char === '\\') return this.#escape(true);
    if (char === '-' && !isFirst && this.#source[this.#position + 1] !== ']') {
      if (this.#ignoresCase) throw unsupported(this.#source, 'case-insensitive ranges are not translated');
      return this.#take(1);
    }
    const member = this.#takeCharacter();
    return this.#ignoresCase && /\p{L}/u.test(member) ? this.#cases(member) : literal(member);
  }

  #escape(isInClass: boolean): string {
    const property = /^\\[pP]\{(\^?)([A-Za-z_=]+)\}/.exec(this.#source.slice(this.#position, this.#position + 64));
    if (property !== null) return this.#property(property[0], property[1]!, property[2]!);
    this.#position++;
    if (this.#position >= this.#source.length) throw unsupported(this.#source, 'ends in a backslash');
    const char = this.#takeCharacter();
    if (char in CLASS_ESCAPES) return isInClass ? CLASS_ESCAPES[char]! : `[${CLASS_ESCAPES[char]!}]`;
    if (CONTROL_ESCAPES.includes(char)) return `\\${char}`;
    if (char === 'u' || char === 'x') return this.#codePoint();
    if (/[A-Za-z0-9]/.test(char)) throw unsupported(this.#source, `the escape \\${char} is not translated`);
    return literal(char);
  }

  #codePoint(): string {
    const match = /^(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{4}|[0-9A-Fa-f]{2}))/.exec(
      this.#source.slice(this.#position, this.#position + 10),
    );
    if (match === null) throw unsupported(this.#source, 'a malformed code point escape');
    this.#position += match[0].length;
    return `\\u{${match[1] ?? match[2]!}}`;
  }

  #property(whole: string, caret: string, name: string): string {
    this.#position += whole.length;
    const isNegated = (whole[1] === 'P') !== (caret === '^');
    const isGeneralCategory = name.length <= 2 || name.includes('=') || name === 'White_Space' || name === 'Alphabetic';
    return `\\${isNegated ? 'P' : 'p'}{${isGeneralCategory ? name : `Script=${name}`}}`;
  }
}
