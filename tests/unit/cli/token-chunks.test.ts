import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openTokenizer } from '../../../cli/open-tokenizer.ts';
import { tokenChunks } from '../../../cli/perplexity/token-chunks.ts';
import { bundledModelPath } from '../../../engine/bundled-model.ts';
import { UnsupportedError } from '../../../engine/errors.ts';
import type { Tokenizer } from '../../../engine/tokenizer/index.ts';
import { fixturePath, hasFixtures, skipNote } from '../../helpers/fixtures.ts';

/** Text as files have it: words, runs of white space, special tokens, and characters of several bytes. */
const text = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('the', 'a', 'Once', "don't", 'tigers', 'xyzzy', '1234', '...', '"Oh!"') },
      { weight: 4, arbitrary: fc.constantFrom(' ', ' ', '\n', '\n\n', '   ', '\t', '\r\n', ' \n ') },
      { weight: 1, arbitrary: fc.constantFrom('<|endoftext|>', '<|end', 'of text|>', '🦙', 'é', '中文字', '\u2028') },
    ),
    { maxLength: 200, size: 'max' },
  )
  .map((parts) => parts.join(''));

async function* inParts(whole: string, length: number): AsyncGenerator<string> {
  for (let at = 0; at < whole.length; at += length) yield whole.slice(at, at + length);
}

async function allChunks(whole: string, tokenizer: Pick<Tokenizer, 'encode'>, parseSpecial: boolean) {
  const ids: number[] = [];
  let numChunks = 0;
  const sizes = { chunkLength: 40, contextLength: 24 };
  for await (const chunk of tokenChunks(inParts(whole, 7), tokenizer, { parseSpecial, ...sizes })) {
    ids.push(...chunk);
    numChunks++;
  }
  return { ids, numChunks };
}

async function checkModel(model: string): Promise<void> {
  const tokenizer = await openTokenizer({ model });
  let mostChunks = 0;
  await fc.assert(
    fc.asyncProperty(text, fc.boolean(), async (whole, parseSpecial) => {
      const { ids, numChunks } = await allChunks(whole, tokenizer, parseSpecial);
      expect(ids).toEqual([...tokenizer.encode(whole, { parseSpecial })]);
      mostChunks = Math.max(mostChunks, numChunks);
    }),
  );
  // Otherwise nothing was tried.
  expect(mostChunks).toBeGreaterThan(3);
}

describe('a text in chunks has the tokens of the whole', () => {
  it('byte-level BPE', () => checkModel(bundledModelPath('draft')));

  it.skipIf(!hasFixtures)(`SentencePiece, which puts a space before a text${skipNote}`, () =>
    checkModel(fixturePath('stories260k/stories260K.gguf')),
  );

  it('nothing from nothing', async () => {
    const tokenizer = await openTokenizer({ model: bundledModelPath('draft') });
    expect(await allChunks('', tokenizer, false)).toEqual({ ids: [], numChunks: 0 });
  });
});

describe('a tokenizer with tokens across words', () => {
  /** One token per pair of characters, counted from the start of the text: any cut at an odd place changes all. */
  const pairs = {
    encode: (whole: string) =>
      Int32Array.from(whole.match(/..?/gs) ?? [], (pair) => pair.charCodeAt(0) * 65_536 + (pair.charCodeAt(1) || 0)),
  };

  it('is cut only where that changes nothing', async () => {
    const whole = 'ab cde fg h ijk lmno p qr '.repeat(40);
    const { ids, numChunks } = await allChunks(whole, pairs, false);
    expect(ids).toEqual([...pairs.encode(whole)]);
    expect(numChunks).toBeGreaterThan(3);
  });

  it('is refused when there is no such place', async () => {
    /** The last token tells how long the text is. */
    const counting = { encode: (whole: string) => Int32Array.of(whole.length) };
    await expect(allChunks('word '.repeat(4000), counting, false)).rejects.toThrow(UnsupportedError);
  });
});
