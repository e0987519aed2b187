import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../../engine/errors.ts';
import { compileLiteral, compilePattern } from '../../../engine/tokenizer/pattern.ts';
import {
  patternSplitter,
  type SplitBehavior,
  type Splitter,
  sequenceSplitter,
} from '../../../engine/tokenizer/pattern-splitter.ts';
import { createSplitter, findPreTokenizer, PRE_TOKENIZERS } from '../../../engine/tokenizer/pre-tokenizers.ts';

function pieces(splitter: Splitter, text: string): string[] {
  const found: string[] = [];
  splitter(text, true, (piece) => found.push(piece));
  return found;
}

const named = (name: string) => createSplitter(findPreTokenizer(name));
const matches = (pattern: string, text: string) => text.match(compilePattern(pattern)) ?? [];

describe('compilePattern', () => {
  it("takes Oniguruma's idea of white space, digits and words, not JavaScript's", () => {
    expect(matches(String.raw`\s`, 'a\u0085b\ufeffc\u3000')).toEqual(['\u0085', '\u3000']);
    expect(matches(String.raw`\S+`, '\ufeff \u0085x')).toEqual(['\ufeff', 'x']);
    expect(matches(String.raw`[^\S\n]+`, ' \t\n ')).toEqual([' \t', ' ']);
    expect(matches(String.raw`\d+`, '1٣²')).toEqual(['1٣']);
    expect(matches(String.raw`\w+|[\w-]+`, 'naïve_é-x!')).toEqual(['naïve_é', '-x']);
    expect(matches('^.|.$', 'ab\ncd\r')).toEqual(['a', 'b', 'c', '\r']);
  });

  it('ignores case only where the group says so, with the long s that Unicode folds to s', () => {
    expect(matches("(?i:'s|'[tm]|'LL)|'d", "'s'S'ſ't'M'll'Ll'd'D")).toEqual([
      "'s",
      "'S",
      "'ſ",
      "'t",
      "'M",
      "'ll",
      "'Ll",
      "'d",
    ]);
  });

  it('never gives back what a possessive quantifier took', () => {
    expect(matches('a++a', 'aaa')).toEqual([]);
    expect(matches(String.raw`(?:ab)?+\p{L}+|[xy]*+y|z{2}+`, 'abc xxy zz')).toEqual(['abc', 'xxy', 'zz']);
    expect(matches(String.raw`[^\r\n\p{L}]?+\p{L}+`, ' ab.cd')).toEqual([' ab', '.cd']);
  });

  it('reads escapes, literal brackets and scripts', () => {
    expect(matches(String.raw`\'\-\x41[\u0042\]\-a-c-]`, "'-AB'-A]'-A-'-Ab'-Ad")).toEqual([
      "'-AB",
      "'-A]",
      "'-A-",
      "'-Ab",
    ]);
    expect(matches(String.raw`[]a]|\p{Han}|\p{^L}|\x{1F999}`, 'a]中b1🦙')).toEqual(['a', ']', '中', '1', '🦙']);
    expect('a.b'.match(compileLiteral('.'))).toEqual(['.']);
  });

  it.each([
    '(?>a)',
    '[[:alpha:]]',
    '[a&&b]',
    String.raw`\b`,
    String.raw`\h`,
    '(a',
    'a)',
    '[a',
    'a\\',
    '(?i:é)',
    '(?i:[a-c])',
    '*',
  ])('refuses %s by name', (pattern) => {
    expect(() => compilePattern(pattern)).toThrow(UnsupportedError);
    expect(() => compilePattern(pattern)).toThrow(pattern);
  });
});

describe('patternSplitter', () => {
  // Expected values: Hugging Face tokenizers 0.23.2, pre_tokenizers.Split(" ", behavior, invert).
  it.each<[SplitBehavior, string[], string[]]>([
    ['isolated', [' ', 'a', ' ', ' ', 'b', ' '], [' ', 'a', ' ', ' ', 'b', ' ']],
    ['removed', ['a', 'b'], [' ', ' ', ' ', ' ']],
    ['merged-with-previous', [' ', 'a ', ' ', 'b '], [' a', ' ', ' b', ' ']],
    ['merged-with-next', [' a', ' ', ' b', ' '], [' ', 'a ', ' ', 'b ']],
    ['contiguous', [' ', 'a', '  ', 'b', ' '], [' ', 'a', '  ', 'b', ' ']],
  ])('%s', (behavior, expected, inverted) => {
    expect(pieces(patternSplitter(compileLiteral(' '), behavior), ' a  b ')).toEqual(expected);
    expect(pieces(patternSplitter(compileLiteral(' '), behavior, true), ' a  b ')).toEqual(inverted);
  });

  it('passes over empty matches', () => {
    expect(pieces(patternSplitter(compilePattern('b*'), 'isolated'), 'abba')).toEqual(['a', 'bb', 'a']);
  });

  it('looks at each piece of the step before on its own, and tells only the first that it begins the text', () => {
    const starts: boolean[] = [];
    const spy: Splitter = (text, atStart, emit) => {
      starts.push(atStart);
      emit(text);
    };
    const both = sequenceSplitter([patternSplitter(compileLiteral('-'), 'removed'), spy]);
    expect(pieces(both, 'a-b-c')).toEqual(['a', 'b', 'c']);
    expect(starts).toEqual([true, false, false]);
  });

  it('cuts a match of millions of characters instead of overflowing the regex stack, and no character in two', () => {
    const text = `${' '.repeat(3)}${'🦙'.repeat(1_200_000)} x`;
    const found = pieces(named('gpt-2'), text);
    expect(found.join('') === text).toBe(true);
    expect(found.length).toBeLessThan(10);
    expect(found.every((piece) => piece.isWellFormed())).toBe(true);
  });

  it('sees a match to its end though it begins shortly before the edge of a window', () => {
    const filler = 'x'.repeat(2 ** 20 + 4090);
    const found = pieces(patternSplitter(compilePattern('(?:ab)+'), 'isolated'), `${filler}${'ab'.repeat(9)}`);
    expect(found.map((piece) => piece.length)).toEqual([filler.length, 18]);
  });

  it('finds a match across the edge of a window that held none', () => {
    const filler = 'x'.repeat(2 ** 20 + 4095);
    expect(pieces(patternSplitter(compileLiteral('ab'), 'isolated'), `${filler}ab`)).toEqual([filler, 'ab']);
  });
});

describe('pre-tokenizers', () => {
  // Expected values: Hugging Face tokenizers 0.23.2 with the same patterns.
  it.each([
    ['gpt-2', "I'll  pay 1234.5!\n\n ok", ['I', "'ll", ' ', ' pay', ' 1234', '.', '5', '!', '\n\n', ' ok']],
    ['llama-bpe', "I'LL  pay 12345!\n\n ok", ['I', "'LL", ' ', ' pay', ' ', '123', '45', '!\n\n', ' ok']],
    ['qwen2', 'pay 12\t(x)', ['pay', ' ', '1', '2', '\t', '(x', ')']],
    ['smollm', ' pay 12', [' pay', ' ', '1', '2']],
    ['gpt-4o', "HelloWorld's/\n", ['Hello', "World's", '/\n']],
    ['default', ' a.1234', [' a', '.', '123', '4']],
  ])('%s', (name, text, expected) => {
    expect(pieces(named(name), text)).toEqual(expected);
  });

  it('give the text back, whatever it is', () => {
    const splitters = PRE_TOKENIZERS.map((spec) => createSplitter(spec));
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        for (const splitter of splitters) expect(pieces(splitter, text).join('')).toBe(text);
      }),
    );
  });

  it('name the known ones when asked for another', () => {
    expect(() => findPreTokenizer('tiktoken')).toThrow(UnsupportedError);
    expect(() => findPreTokenizer('tiktoken')).toThrow(/'tiktoken'.*gpt-2.*llama-bpe.*smollm/);
  });
});
