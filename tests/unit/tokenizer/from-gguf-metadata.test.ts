import { describe, expect, it } from 'vitest';
import { FormatError, UnsupportedError } from '../../../engine/errors.ts';
import { fromGgufMetadata } from '../../../engine/tokenizer/index.ts';
import {
  byteLevelMetadata,
  type Entries,
  entries,
  goldenAsSentencePiece,
  readGolden,
  sentencePieceMetadata,
} from './small-tokenizers.ts';

const load = (metadata: Entries, extra: Readonly<Record<string, unknown>> = {}) =>
  fromGgufMetadata(new Map([...metadata, ...entries(extra)]), 'm.gguf');

describe('byte-level BPE from GGUF', () => {
  const metadata = byteLevelMetadata({ merges: ['t h', 'th e', 'Ġ the'], special: ['<|eot_id|>', '<|x|>'] });
  const [th, the, spaceThe, eot, x] = [256, 257, 258, 259, 260];

  it('merges by rank inside pieces', () => {
    expect([...load(metadata).encode('the the then')]).toEqual([the, spaceThe, spaceThe, 'n'.charCodeAt(0)]);
    expect([...load(metadata).encode('th  e')]).toEqual([th, 32, 32, 101]);
  });

  it('takes whole words with ignore_merges, where merging would end elsewhere', () => {
    // 'tha' is a token, but no merge leads to it.
    const tokens = metadata.get('tokenizer.ggml.tokens')!.value as string[];
    const extra = {
      'ggml.tokens': [...tokens, 'tha'],
      'ggml.token_type': new Int32Array(262).fill(1),
      'ggml.bos_token_id': 0,
    };
    expect([...load(metadata, extra).encode('tha')]).toEqual([th, 97]);
    expect([...load(metadata, { ...extra, 'ggml.pre': 'llama-bpe' }).encode('tha')]).toEqual([261]);
  });

  it('reads special tokens only when asked to', () => {
    const tokenizer = load(metadata);
    expect([...tokenizer.encode('the<|x|>the', { parseSpecial: true })]).toEqual([the, x, the]);
    expect(tokenizer.encode('<|x|>')).toHaveLength(5);
    expect(tokenizer.decode([the, x, eot])).toBe('the<|x|><|eot_id|>');
    expect(tokenizer.decode([the, x, eot], { skipSpecial: true })).toBe('the');
    expect([...tokenizer.specialTokens]).toEqual(expect.arrayContaining([['<|x|>', x]]));
  });

  it('always reads user-defined tokens, and never makes control tokens out of text by merging', () => {
    const types = Int32Array.from(metadata.get('tokenizer.ggml.token_type')!.value as Int32Array);
    types[x] = 4;
    expect([...load(metadata, { 'ggml.token_type': types }).encode('<|x|>')]).toEqual([x]);
    types[spaceThe] = 3;
    expect(() => load(metadata, { 'ggml.token_type': types })).toThrow(
      /merges.*entry 2: 'Ġ' \+ 'the': 'Ġthe' is no token/,
    );
  });

  it('adds BOS and EOS as the keys say, else as the pre-tokenizer implies', () => {
    const ids = { 'ggml.bos_token_id': x, 'ggml.eos_token_id': eot };
    const whole = (extra: Readonly<Record<string, unknown>>) => [
      ...load(metadata, { ...ids, ...extra }).encode('the', { addSpecial: true }),
    ];
    expect(whole({})).toEqual([the]);
    expect(whole({ 'ggml.pre': 'llama-bpe' })).toEqual([x, the]);
    expect(whole({ 'ggml.pre': 'llama-bpe', 'ggml.add_bos_token': false, 'ggml.add_eos_token': true })).toEqual([
      the,
      eot,
    ]);
    expect(load(metadata, { ...ids, 'ggml.add_bos_token': true })).toMatchObject({
      addBos: true,
      addEos: false,
      bosId: x,
    });
  });

  it('knows what ends a generation, by key and by spelling', () => {
    expect([...load(metadata).endOfGenerationIds]).toEqual([eot]);
    const more = load(metadata, { 'ggml.eos_token_id': x, 'ggml.eot_token_id': 1, 'ggml.eom_token_id': 2 });
    expect([...more.endOfGenerationIds].sort((a, b) => a - b)).toEqual([1, 2, eot, x]);
  });

  it('treats an end-of-turn marker as a control token even where the file says it is text', () => {
    const types = new Int32Array(261).fill(1);
    const tokenizer = load(metadata, { 'ggml.token_type': types });
    expect(tokenizer.tokenType(eot)).toBe('control');
    expect(tokenizer.encode('<|eot_id|>')).toHaveLength(10);
  });

  it('answers about single tokens', () => {
    const tokenizer = load(metadata, { chat_template: '{{ x }}' });
    expect(tokenizer.tokenText(spaceThe)).toBe('Ġthe');
    expect([...tokenizer.tokenBytes(spaceThe)]).toEqual([32, 116, 104, 101]);
    expect(tokenizer.chatTemplate).toBe('{{ x }}');
    expect(tokenizer.vocabSize).toBe(261);
    for (const id of [-1, 261, 0.5, Number.NaN]) {
      expect(() => tokenizer.tokenText(id)).toThrow(/from 0 to 260/);
      expect(() => tokenizer.tokenBytes(id)).toThrow(/from 0 to 260/);
      expect(() => tokenizer.decode([id])).toThrow(/from 0 to 260/);
      expect(() => tokenizer.createDetokenizer().push(id)).toThrow(/from 0 to 260/);
    }
    tokenizer.tokenBytes(0).fill(99); // a copy: the tokenizer's own bytes stay
    expect(tokenizer.decode([0])).toBe('\0');
    expect(() => tokenizer.encode(7 as unknown as string)).toThrow(/must be a string/);
  });
});

describe('SentencePiece BPE from GGUF', () => {
  // The page docs/tokenization.md works this vocabulary through by hand.
  const pieces: [string, number][] = [
    ['▁', -5],
    ['l', -6],
    ['o', -7],
    ['w', -8],
    ['e', -9],
    ['r', -10],
    ['lo', -1],
    ['er', -2],
    ['low', -3],
    ['▁low', -4],
  ];
  const id = Object.fromEntries(pieces.map(([text], i) => [text, 259 + i]));
  const metadata = sentencePieceMetadata(pieces);

  it('merges the highest score first', () => {
    expect([...load(metadata).encode('low')]).toEqual([id['▁low']]);
    expect([...load(metadata).encode('lower')]).toEqual([id['▁low'], id.er]);
    expect([...load(metadata).encode('low lower')]).toEqual([id['▁low'], id['▁low'], id.er]);
  });

  it('merges equal scores from the left', () => {
    const equal = sentencePieceMetadata([
      ['a', 0],
      ['aa', -1],
      ['▁', -2],
    ]);
    expect([...load(equal, { 'ggml.add_space_prefix': false }).encode('aaaaa')]).toEqual([260, 260, 259]);
  });

  it('spells what it lacks in bytes, of which byte tokens spelled out in the text are not a part', () => {
    const bytes = [...Buffer.from('é🦙')].map((byte) => 3 + byte);
    expect([...load(metadata).encode('é🦙')]).toEqual([id['▁'], ...bytes]);
    expect([...load(metadata).encode('<0x41>')].slice(1)).toEqual([...Buffer.from('<0x41>')].map((byte) => 3 + byte));
  });

  it('merges characters that are no tokens themselves when their joined text is one', () => {
    const odd = sentencePieceMetadata([
      ['▁', -1],
      ['xy', -2],
      ['🦙🚀', -3],
    ]);
    expect([...load(odd).encode('xy🦙🚀')]).toEqual([259, 260, 261]);
    expect([...load(odd).encode('yx')]).toEqual([259, 3 + 0x79, 3 + 0x78]);
  });

  it('merges across words when a token spans them', () => {
    const spanning = sentencePieceMetadata([
      ['▁', -3],
      ['a', -4],
      ['b', -5],
      ['▁b', -1],
      ['a▁b', -2],
    ]);
    expect([...load(spanning).encode('a b')]).toEqual([259, 263]);
  });

  it('begins every stretch of text with a space, unless told not to, and takes one away again', () => {
    const tokenizer = load(metadata);
    expect([...tokenizer.encode('low<s>low', { parseSpecial: true })]).toEqual([id['▁low'], 1, id['▁low']]);
    expect(tokenizer.decode([id['▁low']!, id['▁low']!])).toBe('low low');
    expect(tokenizer.decode([1, id['▁low']!], { skipSpecial: true })).toBe('low');
    expect(tokenizer.decode([1, id['▁low']!])).toBe('<s> low');
    expect(tokenizer.decode([id['▁low']!], { continuation: true })).toBe(' low');
    const plain = load(metadata, { 'ggml.add_space_prefix': false });
    expect([...plain.encode('low')]).toEqual([id.low]);
    expect(plain.decode([id['▁low']!])).toBe(' low');
  });

  it('has the defaults of SentencePiece', () => {
    const tokenizer = load(metadata);
    expect(tokenizer).toMatchObject({
      bosId: 1,
      eosId: 2,
      unknownId: 0,
      paddingId: undefined,
      addBos: true,
      addEos: false,
    });
    expect([...tokenizer.encode('', { addSpecial: true })]).toEqual([1]);
    expect([...tokenizer.endOfGenerationIds]).toEqual([2]);
  });

  it('finds types by spelling in files without them', () => {
    const tokenizer = load(new Map([...metadata].filter(([key]) => key !== 'tokenizer.ggml.token_type')));
    expect([0, 1, 3, 259].map((token) => tokenizer.tokenType(token))).toEqual(['unknown', 'control', 'byte', 'normal']);
    expect([...tokenizer.encode('low é')]).toEqual([...load(metadata).encode('low é')]);
  });

  it('gives one unknown token for a run of characters when there are no byte tokens, and none without that token', () => {
    const bare = entries({ 'ggml.model': 'llama', 'ggml.tokens': ['<unk>', '<s>', '</s>', 'a'] });
    expect([...load(bare, { 'ggml.add_space_prefix': false }).encode('éèaé')]).toEqual([0, 3, 0]);
    expect([
      ...load(bare, { 'ggml.add_space_prefix': false, 'ggml.unknown_token_id': 0xffff_ffff }).encode('éèaé'),
    ]).toEqual([3]);
  });

  it('gives the ids that Hugging Face gives for the same vocabulary as a list of merges', () => {
    const golden = readGolden('sentencepiece');
    const tokenizer = load(goldenAsSentencePiece(golden));
    for (const { text, ids, special } of golden.encode) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids]);
      expect([text, [...tokenizer.encode(text, { addSpecial: true, parseSpecial: true })]]).toEqual([text, special]);
    }
  });
});

describe('malformed metadata', () => {
  const spm = sentencePieceMetadata([['▁', 0]]);
  const bytes = byteLevelMetadata({ merges: ['a b'] });

  it.each<[string, Entries, Record<string, unknown>, RegExp]>([
    ['no model', new Map(), {}, /tokenizer\.ggml\.model at byte 0: is missing/],
    ['a model that is no string', spm, { 'ggml.model': 3 }, /tokenizer\.ggml\.model.*must be a string, is number 3/],
    ['no tokens', entries({ 'ggml.model': 'llama' }), {}, /tokens.*is missing/],
    ['an empty vocabulary', spm, { 'ggml.tokens': [] }, /at least one token/],
    ['tokens that are no strings', spm, { 'ggml.tokens': ['a', 1] }, /tokens.*array of strings/],
    ['numbers as tokens', spm, { 'ggml.tokens': new Int32Array(2) }, /tokens.*array of strings, is Int32Array/],
    [
      'a special token as long as a text',
      spm,
      {
        'ggml.tokens': ['<unk>', 'x'.repeat(1000)],
        'ggml.scores': new Float32Array(2),
        'ggml.token_type': Int32Array.of(2, 3),
      },
      /tokens.*token 1 has 1000 characters; a special token has at most 256/,
    ],
    ['scores of another length', spm, { 'ggml.scores': new Float32Array(3) }, /scores.*each of the 260 tokens, has 3/],
    ['scores that are NaN', spm, { 'ggml.scores': new Float32Array(260).fill(Number.NaN) }, /scores.*NaN/],
    ['scores that are text', spm, { 'ggml.scores': 'x' }, /scores.*array of 32-bit numbers, is string x/],
    [
      'types of another length',
      spm,
      { 'ggml.token_type': new Int32Array(261) },
      /token_type.*each of the 260 tokens, has 261/,
    ],
    ['a type that is none', spm, { 'ggml.token_type': new Int32Array(260).fill(7) }, /token 0 has type 7/],
    ['a byte token without a byte', spm, { 'ggml.token_type': new Int32Array(260).fill(6) }, /spelled '<unk>'/],
    ['an id outside', spm, { 'ggml.eos_token_id': 260 }, /eos_token_id.*from 0 to 259, is 260/],
    ['a huge id', spm, { 'ggml.bos_token_id': 2n ** 60n }, /bos_token_id.*must be a token id/],
    ['an eot outside', spm, { 'ggml.eot_token_id': 999 }, /eot_token_id.*from 0 to 259/],
    ['a flag that is no flag', spm, { 'ggml.add_bos_token': 1 }, /add_bos_token.*must be a bool/],
    ['BOS without an id', spm, { 'ggml.bos_token_id': -1 }, /bos_token_id.*is missing, though/],
    ['EOS without an id', bytes, { 'ggml.add_eos_token': true }, /eos_token_id.*is missing, though/],
    ['a template that is no text', spm, { chat_template: false }, /chat_template.*must be a string/],
    ['no merges', entries({ 'ggml.model': 'gpt2', 'ggml.tokens': ['a'] }), {}, /merges.*is missing/],
    ['a merge of an unknown left', bytes, { 'ggml.merges': ['zz b'] }, /merges.*entry 0: .*'zz' is no token/],
    ['a merge of an unknown right', bytes, { 'ggml.merges': ['a b', 'a zz'] }, /entry 1: .*'zz' is no token/],
    ['a merge into nothing', bytes, { 'ggml.merges': ['b a'] }, /'ba' is no token/],
    ['a merge of one', bytes, { 'ggml.merges': ['ab'] }, /must be two tokens/],
    ['a merge with an empty part', bytes, { 'ggml.merges': ['a '] }, /must be two tokens/],
  ])('%s', (_, metadata, extra, message) => {
    expect(() => load(metadata, extra)).toThrow(FormatError);
    expect(() => load(metadata, extra)).toThrow(message);
    expect(() => load(metadata, extra)).toThrow('m.gguf');
  });

  it('says which tokenizers there are instead of the one asked for', () => {
    expect(() => load(spm, { 'ggml.model': 'bert' })).toThrow(UnsupportedError);
    expect(() => load(spm, { 'ggml.model': 'bert' })).toThrow(/'bert'.*llama.*gpt2/);
    expect(() => load(bytes, { 'ggml.pre': 'tekken' })).toThrow(/'tekken'.*gpt-2/);
  });
});
