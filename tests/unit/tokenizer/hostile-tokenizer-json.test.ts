/** A small file must not be able to stop a process: by a pattern that never ends, or by a text that grows without bound. */
import { describe, expect, it } from 'vitest';
import { FormatError, UnsupportedError } from '../../../engine/errors.ts';
import { fromTokenizerJson } from '../../../engine/tokenizer/index.ts';
import { type Json, tinyTokenizerJson as tiny } from './small-tokenizers.ts';

const load = (json: unknown) => fromTokenizerJson(json, undefined, 'tokenizer.json');

describe('a tokenizer.json that hopes to take for ever, or all memory', () => {
  const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated' });
  const replace = (pattern: Json, content: string) => ({ type: 'Replace', pattern, content });

  // The first was found by mutating files: every space may be read in two ways.
  it.each([
    ['exponential', String.raw`(\s|\s)*\S`, ' '.repeat(3000)],
    ['polynomial', 'a*a*a*a*a*a*b', 'a'.repeat(5000)],
  ])('a pattern of %s time is stopped, and the file named', (_, pattern, text) => {
    const tokenizer = load(tiny({ pre_tokenizer: split(pattern) }));
    expect([...tokenizer.encode('ab')].length).toBeGreaterThan(0);
    expect(() => tokenizer.encode(text)).toThrow(
      /a pattern that takes too long \(pre_tokenizer in .* is not supported/,
    );
    // It is as good as new.
    expect([...tokenizer.encode('ab')].length).toBeGreaterThan(0);
  });

  it('a pattern that keeps thirty places to back up to for every character', () => {
    const tokenizer = load(tiny({ pre_tokenizer: split(`${'(?:'.repeat(30)}a|b${'|c)?'.repeat(29)})*`) }));
    expect(() => tokenizer.encode('ab'.repeat(1_000_000))).toThrow(/takes too much memory/);
  });

  it('a normalizer is stopped too', () => {
    const tokenizer = load(tiny({ normalizer: replace({ Regex: '(a|a)*b' }, 'x') }));
    expect(() => tokenizer.encode('a'.repeat(100))).toThrow(/takes too long \(normalizer in/);
  });

  it.each<[string, Json]>([
    ['doubling', { type: 'Sequence', normalizers: Array(40).fill(replace({ String: 'a' }, 'aa')) }],
    ['an empty pattern', replace({ String: '' }, 'x'.repeat(100_000))],
    ['an empty regex', replace({ Regex: 'z*' }, 'x'.repeat(100_000))],
    ['a long prefix', { type: 'Prepend', prepend: 'x'.repeat(100_000) }],
  ])('a normalizer that makes texts long: %s', (_, normalizer) => {
    const tokenizer = load(tiny({ normalizer }));
    expect(() => tokenizer.encode('a'.repeat(1000))).toThrow(FormatError);
    expect(() => tokenizer.encode('a'.repeat(1000))).toThrow(/normalizer.* at byte 0: makes a text longer than 33024/);
  });

  it('a normalizer may make a text somewhat longer, and shorter', () => {
    const normalizers = [replace({ String: 'a' }, 'ab'.repeat(8)), replace({ Regex: '(?:ab)+' }, 'ab')];
    expect([...load(tiny({ normalizer: { type: 'Sequence', normalizers } })).encode('aaa')]).toEqual([2]);
  });

  it.each<[string, Json]>([
    ['doubling', { type: 'Sequence', decoders: Array(40).fill(replace({ String: 'a' }, 'aa')) }],
    ['an empty pattern', replace({ String: '' }, 'x')],
    ['a long content', replace({ String: 'a' }, 'x'.repeat(1000))],
  ])('a decoder that makes tokens long: %s', (_, decoder) => {
    expect(() => load(tiny({ decoder }))).toThrow(UnsupportedError);
  });

  it('a space of more than one character', () => {
    const replacement = 'x'.repeat(100_000);
    expect(() => load(tiny({ pre_tokenizer: { type: 'Metaspace', replacement } }))).toThrow(/must be one character/);
    expect(() => load(tiny({ decoder: { type: 'Metaspace', replacement } }))).toThrow(/must be one character/);
  });

  it('a pattern of a hundred kilobytes, which is not repeated in the message', () => {
    const pattern = 'a++'.repeat(40_000);
    expect(() => load(tiny({ pre_tokenizer: split(pattern) }))).toThrow(/has 120000 characters, more than 16384/);
  });

  it('a pattern that no regex engine could hold', () => {
    expect(() => load(tiny({ pre_tokenizer: split('(?:(?:(?:a{1,999}){1,999}){1,999}){1,999}b') }))).not.toThrow();
    const nested = `${'(?:'.repeat(5000)}a${')'.repeat(5000)}`;
    expect(() => load(tiny({ pre_tokenizer: split(nested) }))).toThrow(UnsupportedError);
  });
});
