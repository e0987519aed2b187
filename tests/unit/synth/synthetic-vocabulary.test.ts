import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MODEL_SHAPES } from '../../../engine/synth/model-shape.ts';
import { syntheticVocabulary } from '../../../engine/synth/synthetic-vocabulary.ts';
import { fromGgufMetadata } from '../../../engine/tokenizer/index.ts';

describe.each(MODEL_SHAPES)('the vocabulary of $name', ({ vocabSize, numSpecialTokens, preTokenizer }) => {
  const keys = syntheticVocabulary(vocabSize, numSpecialTokens, preTokenizer);
  const tokenizer = fromGgufMetadata(keys, 'test');

  it('has its size, all tokens different, the special ones at the end', () => {
    const tokens = keys.get('tokenizer.ggml.tokens')!.value as string[];
    expect(new Set(tokens).size).toBe(vocabSize);
    expect(tokenizer.tokenType(vocabSize - numSpecialTokens - 1)).toBe('normal');
    for (let id = vocabSize - numSpecialTokens; id < vocabSize; id++) expect(tokenizer.tokenType(id)).toBe('control');
    expect(tokenizer.bosId).toBe(vocabSize - numSpecialTokens);
    expect([...tokenizer.endOfGenerationIds]).toEqual([vocabSize - numSpecialTokens + 1]);
    expect(tokenizer.encode('', { addSpecial: true })).toEqual(Int32Array.of(tokenizer.bosId!));
  });

  it('spells any text and gives it back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  it('has tokens of several letters for ordinary words', () => {
    const text = 'the sea and the stone at the end of the season';
    expect(tokenizer.encode(text).length).toBeLessThan(0.7 * text.length);
  });
});

it('the smallest vocabulary is the bytes and the special tokens', () => {
  const tokenizer = fromGgufMetadata(syntheticVocabulary(258, 2, 'gpt-2'), 'test');
  expect(tokenizer.encode('the')).toHaveLength(3);
});
