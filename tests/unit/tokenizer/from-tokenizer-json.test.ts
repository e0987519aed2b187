import { describe, expect, it } from 'vitest';
import { FormatError, UnsupportedError } from '../../../engine/errors.ts';
import { fromTokenizerJson, type TokenizerConfig } from '../../../engine/tokenizer/index.ts';
import { type Json, readGolden, tinyTokenizerJson as tiny } from './small-tokenizers.ts';

const load = (json: unknown, config?: TokenizerConfig) => fromTokenizerJson(json, config, 'tokenizer.json');
const encode = (json: unknown, text: string) => [...load(json).encode(text)];

describe.each(['byte-level', 'sentencepiece'] as const)('the %s golden', (name) => {
  const golden = readGolden(name);
  const tokenizer = load(golden.tokenizer);

  it.each(golden.encode)('encodes $text as Hugging Face does', ({ text, ids, special }) => {
    expect([...tokenizer.encode(text)]).toEqual(ids);
    expect([...tokenizer.encode(text, { addSpecial: true, parseSpecial: true })]).toEqual(special);
  });

  it('decodes as Hugging Face does', () => {
    for (const { ids, text, skipped } of golden.decode) {
      expect(tokenizer.decode(ids)).toBe(text);
      expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(skipped);
    }
  });

  it('takes merges as text too', () => {
    const { model } = golden.tokenizer;
    const merges = model.merges.map(([left, right]) => `${left} ${right}`);
    const other = load({ ...golden.tokenizer, model: { ...model, merges } });
    for (const { text, ids } of golden.encode) expect([...other.encode(text)]).toEqual(ids);
  });
});

describe('the parts of a tokenizer.json', () => {
  it('normalizers', () => {
    const normalized = (normalizer: Json, text: string) => {
      const tokenizer = load(tiny({ normalizer }));
      return [...tokenizer.encode(text)].map((id) => tokenizer.tokenText(id)).join('|');
    };
    expect(normalized({ type: 'Prepend', prepend: '▁' }, 'ab')).toBe('▁|ab');
    expect(normalized({ type: 'Replace', pattern: { Regex: 'x+' }, content: 'a' }, 'xxb')).toBe('ab');
    expect(normalized({ type: 'Replace', pattern: { String: '.' }, content: '$&' }, 'a.')).toBe('a|<unk>|<unk>');
    expect(normalized({ type: 'Lowercase' }, 'AB')).toBe('ab');
    expect(normalized({ type: 'NFKC' }, 'ａ')).toBe('a');
    expect(
      normalized({ type: 'Sequence', normalizers: [{ type: 'Lowercase' }, { type: 'Prepend', prepend: '▁' }] }, 'A'),
    ).toBe('▁a');
  });

  it('pre-tokenizers', () => {
    const pieces = (pre_tokenizer: Json, text: string) => {
      const tokenizer = load(tiny({ pre_tokenizer }));
      return [...tokenizer.encode(text)].map((id) => tokenizer.tokenText(id)).join('|');
    };
    expect(pieces({ type: 'WhitespaceSplit' }, 'ab a b')).toBe('ab|a|b');
    expect(pieces({ type: 'Split', pattern: { String: 'b' }, behavior: 'Isolated' }, 'ab')).toBe('a|b');
    expect(pieces({ type: 'Split', pattern: { Regex: 'b' }, behavior: 'Removed', invert: true }, 'ab')).toBe('b');
    expect(pieces({ type: 'Digits', individual_digits: true }, 'ab1')).toBe('ab|<unk>');
    expect(pieces({ type: 'Punctuation' }, 'a.b')).toBe('a|<unk>|b');
    // Hugging Face 0.23.2: Metaspace puts '▁' before a text, or before the first stretch only, or not at all.
    const metaspace = { type: 'Metaspace', replacement: '▁', split: true };
    expect(pieces({ ...metaspace, prepend_scheme: 'always' }, 'a a')).toBe('▁a|▁a');
    expect(pieces({ ...metaspace, prepend_scheme: 'never' }, 'a a')).toBe('a|▁a');
    expect(pieces({ ...metaspace, add_prefix_space: true }, ' a')).toBe('▁a');
  });

  it('Metaspace "first" leaves stretches after a special token alone', () => {
    const json = tiny({
      pre_tokenizer: { type: 'Metaspace', prepend_scheme: 'first' },
      added_tokens: [{ id: 6, content: '<x>', special: true }],
    });
    expect([...load(json).encode('a<x>a', { parseSpecial: true })]).toEqual([4, 6, 0]);
  });

  it('ByteLevel with a space before each piece', () => {
    const golden = readGolden('byte-level').tokenizer;
    const plain = load({ ...golden, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true } });
    const prefixed = load({ ...golden, pre_tokenizer: { type: 'ByteLevel' } });
    expect([...prefixed.encode('stone')]).toEqual([...plain.encode(' stone')]);
    expect([...prefixed.encode(' stone')]).toEqual([...plain.encode(' stone')]);
  });

  it('fuses unknown characters only when told to', () => {
    expect(encode(tiny(), 'éé')).toEqual([5, 5]);
    expect(encode(tiny({}, { fuse_unk: true }), 'ééaé')).toEqual([5, 0, 5]);
    expect(encode(tiny({}, { unk_token: null }), 'éaé')).toEqual([0]);
  });

  it('added tokens: special ones on demand, others always, beyond the vocabulary too', () => {
    const json = tiny({
      added_tokens: [
        { id: 6, content: '<x>', special: true },
        { id: 9, content: '<y>', special: false, rstrip: true },
      ],
    });
    const tokenizer = load(json);
    expect(tokenizer.vocabSize).toBe(10);
    expect([...tokenizer.encode('a<y> <x>', { parseSpecial: true })]).toEqual([0, 9, 6]);
    expect([...tokenizer.encode('a<y>b')]).toEqual([0, 9, 1]);
    expect([6, 7, 9].map((id) => tokenizer.tokenType(id))).toEqual(['control', 'unused', 'user-defined']);
    expect(tokenizer.decode([6, 7, 9], { skipSpecial: true })).toBe('<y>');
  });

  it('the template, and the flags of tokenizer_config.json, which go first', () => {
    const json = tiny({
      added_tokens: [
        { id: 6, content: '<s>', special: true },
        { id: 7, content: '</s>', special: true },
      ],
      post_processor: {
        type: 'Sequence',
        processors: [
          { type: 'ByteLevel' },
          {
            type: 'TemplateProcessing',
            single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
            special_tokens: { '<s>': { id: '<s>', ids: [6], tokens: ['<s>'] } },
          },
        ],
      },
    });
    const around = (config?: TokenizerConfig) => [...load(json, config).encode('a', { addSpecial: true })];
    const names = { bosToken: '<s>', eosToken: '</s>', padToken: '</s>' };
    expect(around()).toEqual([6, 0]);
    expect(around({ ...names, addBosToken: true, addEosToken: true })).toEqual([6, 0, 7]);
    expect(around({ ...names, addBosToken: false })).toEqual([0]);
    const tokenizer = load(json, { ...names, chatTemplates: new Map([['default', 't']]) });
    expect(tokenizer).toMatchObject({
      bosId: 6,
      eosId: 7,
      paddingId: 7,
      unknownId: 5,
      addBos: true,
      addEos: false,
      chatTemplate: 't',
    });
    expect([...tokenizer.endOfGenerationIds]).toEqual([7]);
    expect(load(json)).toMatchObject({ bosId: 6, eosId: undefined, chatTemplate: undefined });
  });
});

describe('a tokenizer.json that Quern cannot use', () => {
  it.each<[string, Json, string]>([
    ['model', tiny({}, { type: 'Unigram' }), "'Unigram'"],
    ['word affixes', tiny({}, { end_of_word_suffix: '</w>' }), 'end_of_word_suffix'],
    ['dropout', tiny({}, { dropout: 0.1 }), 'dropout'],
    ['normalizer', tiny({ normalizer: { type: 'Precompiled' } }), "'Precompiled'"],
    ['pre-tokenizer', tiny({ pre_tokenizer: { type: 'BertPreTokenizer' } }), "'BertPreTokenizer'"],
    [
      'order',
      tiny({ pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'ByteLevel' }, { type: 'Digits' }] } }),
      'after ByteLevel',
    ],
    ['pattern', tiny({ pre_tokenizer: { type: 'Split', pattern: { Regex: '(?>a)' }, behavior: 'Isolated' } }), '(?>a)'],
    ['decoder', tiny({ decoder: { type: 'WordPiece' } }), "'WordPiece'"],
    ['no decoder', tiny({ decoder: null }), 'without a decoder'],
    ['Strip', tiny({ decoder: { type: 'Strip', content: ' ', start: 1, stop: 0 } }), 'Strip'],
    ['Replace', tiny({ decoder: { type: 'Replace', pattern: { Regex: 'a' }, content: '' } }), 'Regex'],
    ['post-processor', tiny({ post_processor: { type: 'BertProcessing' } }), "'BertProcessing'"],
  ])('%s', (_, json, named) => {
    expect(() => load(json)).toThrow(UnsupportedError);
    expect(() => load(json)).toThrow(named);
  });

  it.each<[string, unknown, RegExp]>([
    ['no object', [], /tokenizer\.json at byte 0: must be an object, is an array/],
    ['null', null, /must be an object, is null/],
    ['no model', {}, /model.*is missing/],
    ['no vocabulary', tiny({}, { vocab: undefined }), /model\.vocab.*is missing; must be an object/],
    ['an empty vocabulary', tiny({}, { vocab: {}, unk_token: null }), /at least one token/],
    ['an id that is no number', tiny({}, { vocab: { a: '0' } }), /model\.vocab.*'a' must have a whole number/],
    ['a negative id', tiny({}, { vocab: { a: -1 } }), /'a' must have a whole number/],
    ['an absurd id', tiny({}, { vocab: { a: 2 ** 31 } }), /'a' has id 2147483648, far beyond/],
    ['an unknown unk_token', tiny({}, { unk_token: '?' }), /model\.unk_token.*'\?' is no token/],
    ['merges that are none', tiny({}, { merges: 'a b' }), /model\.merges.*must be an array, is string/],
    ['a merge of three', tiny({}, { merges: [['a', 'b', 'c']] }), /entry 0: must be two tokens/],
    ['a merge of numbers', tiny({}, { merges: [[1, 2]] }), /entry 0: must be two tokens/],
    ['a merge of strangers', tiny({}, { merges: ['a z'] }), /'z' is no token/],
    ['added tokens that are none', tiny({ added_tokens: {} }), /added_tokens.*must be an array/],
    ['an added token without text', tiny({ added_tokens: [{ id: 7 }] }), /added_tokens\[0\]\.content.*is missing/],
    [
      'an added token as long as a text',
      tiny({ added_tokens: [{ id: 7, content: 'x'.repeat(1000) }] }),
      /added_tokens\[0\]\.content.*has 1000 characters; an added token has at most 256/,
    ],
    [
      'a flag that is none',
      tiny({ added_tokens: [{ id: 7, content: 'x', lstrip: 1 }] }),
      /added_tokens\[0\]\.lstrip.*true or false/,
    ],
    [
      'a behaviour that is none',
      tiny({ pre_tokenizer: { type: 'Split', pattern: { String: 'a' }, behavior: 'Odd' } }),
      /behavior.*Odd/,
    ],
    [
      'a template without the text',
      tiny({ post_processor: { type: 'TemplateProcessing', single: [], special_tokens: {} } }),
      /single.*0 times/,
    ],
    [
      'a template with a stranger',
      tiny({
        post_processor: {
          type: 'TemplateProcessing',
          single: [{ SpecialToken: { id: 'z' } }, { Sequence: { id: 'A' } }],
          special_tokens: { z: { ids: [99] } },
        },
      }),
      /post_processor.*token 99; the vocabulary has 6/,
    ],
    [
      'a name from the prototype',
      tiny({ normalizer: Object.create({ type: 'Lowercase' }) }),
      /normalizer\.type.*is missing/,
    ],
  ])('%s', (_, json, message) => {
    expect(() => load(json)).toThrow(FormatError);
    expect(() => load(json)).toThrow(message);
  });
});
