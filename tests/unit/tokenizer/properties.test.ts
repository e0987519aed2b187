/** What must hold for every text and every sequence of ids, on small trained vocabularies. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromGgufMetadata, fromTokenizerJson, type Tokenizer } from '../../../engine/tokenizer/index.ts';
import { byteLevelMetadata, type Golden, goldenAsSentencePiece, readGolden } from './small-tokenizers.ts';

/** Without `rstrip`: a token that swallows the white space after it does not give it back. */
function withoutStripping({ tokenizer }: Golden): unknown {
  const added = tokenizer.added_tokens as readonly object[];
  return { ...tokenizer, added_tokens: added.map((token) => ({ ...token, lstrip: false, rstrip: false })) };
}

const tokenizers: [string, Tokenizer][] = [
  ['byte-level, tokenizer.json', fromTokenizerJson(withoutStripping(readGolden('byte-level')), undefined, 'a')],
  ['SentencePiece-like, tokenizer.json', fromTokenizerJson(readGolden('sentencepiece').tokenizer, undefined, 'b')],
  ['SentencePiece, GGUF', fromGgufMetadata(goldenAsSentencePiece(readGolden('sentencepiece')), 'c')],
  [
    'byte-level, GGUF, default pre-tokenizer',
    fromGgufMetadata(
      byteLevelMetadata({ merges: ['t h', 'Ġ t', 'th e'], special: ['<|im_end|>'], pre: 'default' }),
      'd',
    ),
  ],
];

/** Any string at all, halves of surrogate pairs included. */
const utf16 = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 })
  .map((units) => String.fromCharCode(...units));
const words = fc
  .array(
    fc.constantFrom(
      'the',
      'The',
      ' ',
      '  ',
      '\n',
      'quern',
      "'s",
      '12',
      '!',
      'é',
      '中',
      '🦙',
      '<s>',
      '<|im_end|>',
      '<|sep|>',
      '\ud83e',
    ),
    {
      maxLength: 20,
    },
  )
  .map((parts) => parts.join(''));
const anyText = fc.oneof(utf16, words, fc.string({ unit: 'binary', maxLength: 40 }));

describe.each(tokenizers)('%s', (_, tokenizer) => {
  const anyIds = fc.array(fc.nat({ max: tokenizer.vocabSize - 1 }), { maxLength: 30 });

  it('decode(encode(text)) is the text, with U+FFFD for what is no character', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        // SentencePiece writes a space as '▁', so that a '▁' in a text comes back as a space.
        const expected = text.toWellFormed().replaceAll('▁', tokenizer.decode([...tokenizer.encode('a▁')]).slice(1));
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(expected);
      }),
    );
  });

  it('never throws, and gives ids of the vocabulary only', () => {
    fc.assert(
      fc.property(anyText, fc.boolean(), fc.boolean(), (text, addSpecial, parseSpecial) => {
        for (const id of tokenizer.encode(text, { addSpecial, parseSpecial })) {
          expect(id >= 0 && id < tokenizer.vocabSize).toBe(true);
        }
      }),
    );
  });

  it('never turns text into control tokens unless asked to', () => {
    fc.assert(
      fc.property(words, (text) => {
        expect([...tokenizer.encode(text)].map((id) => tokenizer.tokenType(id))).not.toContain('control');
      }),
    );
  });

  it('incremental text is whole text, in any pieces, and no piece holds half a character', () => {
    fc.assert(
      fc.property(anyIds, fc.boolean(), fc.boolean(), (ids, skipSpecial, continuation) => {
        const detokenizer = tokenizer.createDetokenizer({ skipSpecial, continuation });
        const pieces = ids.map((id) => detokenizer.push(id));
        expect(pieces.every((piece) => piece.isWellFormed())).toBe(true);
        expect(pieces.join('') + detokenizer.flush()).toBe(tokenizer.decode(ids, { skipSpecial, continuation }));
      }),
    );
  });

  it('incremental text never takes back or guesses: each piece is a prefix of what the whole text will be', () => {
    fc.assert(
      fc.property(anyIds, anyIds, (ids, more) => {
        const detokenizer = tokenizer.createDetokenizer();
        const soFar = ids.map((id) => detokenizer.push(id)).join('');
        expect(tokenizer.decode([...ids, ...more]).startsWith(soFar)).toBe(true);
      }),
    );
  });

  it('the bytes of the tokens are the bytes of the text', () => {
    fc.assert(
      fc.property(anyIds, (ids) => {
        const bytes = Buffer.concat(ids.map((id) => tokenizer.tokenBytes(id)));
        expect(tokenizer.decode(ids, { continuation: true })).toBe(
          new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes),
        );
      }),
    );
  });

  it('takes a long run of one character', () => {
    for (const unit of ['a', ' ', '\n', '中', '🦙', '<', '1', '\ud800']) {
      const text = unit.repeat(2 ** 16);
      expect(tokenizer.decode(tokenizer.encode(text, { parseSpecial: true })) === text.toWellFormed()).toBe(true);
    }
  });
});

describe('the incremental detokenizer', () => {
  const tokenizer = fromGgufMetadata(byteLevelMetadata({ merges: [] }), 'e');
  const push = (...bytes: number[]) => {
    const detokenizer = tokenizer.createDetokenizer();
    return [...bytes.map((byte) => detokenizer.push(byte)), detokenizer.flush()];
  };

  it('holds a character back until it is whole', () => {
    expect(push(...Buffer.from('é🦙'))).toEqual(['', 'é', '', '', '', '🦙', '']);
  });

  it('gives up on bytes that never become one, as soon as that is certain', () => {
    expect(push(0xf0, 0x9f, 0x61)).toEqual(['', '', '\ufffda', '']);
    expect(push(0xf0, 0x9f, 0xa6)).toEqual(['', '', '', '\ufffd']);
    expect(push(0xff, 0x80, 0xc0)).toEqual(['\ufffd', '\ufffd', '\ufffd', '']);
  });

  it('keeps a byte order mark, at the start too', () => {
    expect(push(...Buffer.from('\ufeffa')).join('')).toBe('\ufeffa');
  });
});
