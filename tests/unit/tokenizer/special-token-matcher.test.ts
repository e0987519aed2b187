import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type MatchedToken, SpecialTokenMatcher } from '../../../engine/tokenizer/special-token-matcher.ts';

function split(tokens: readonly MatchedToken[], text: string): (string | number)[] {
  const parts: (string | number)[] = [];
  new SpecialTokenMatcher(tokens).split(
    text,
    (start, end) => parts.push(text.slice(start, end)),
    (id) => parts.push(id),
  );
  return parts;
}

describe('SpecialTokenMatcher', () => {
  it('takes the leftmost token and, of those that start there, the longest', () => {
    const tokens = [
      { id: 1, text: '<a' },
      { id: 2, text: '<a>' },
      { id: 3, text: '>>' },
    ];
    expect(split(tokens, 'x<a>><a')).toEqual(['x', 2, '>', 1]);
    expect(split(tokens, '')).toEqual([]);
    expect(split([], 'x')).toEqual(['x']);
    expect(split([{ id: 1, text: '' }], 'x')).toEqual(['x']);
  });

  it('lets a token swallow the white space beside it, but no other token', () => {
    const tokens = [
      { id: 1, text: '<l>', lstrip: true },
      { id: 2, text: '<r>', rstrip: true },
    ];
    expect(split(tokens, 'a \n<l> b <r>\t c')).toEqual(['a', 1, ' b ', 2, 'c']);
    expect(split(tokens, '<r>  <l>')).toEqual([2, 1]);
  });

  it('takes a single word only where no word touches it', () => {
    const tokens = [{ id: 1, text: 'up', singleWord: true }];
    expect(split(tokens, 'up, upon 𝒜up up')).toEqual([1, ', upon 𝒜up ', 1]);
  });

  it('agrees with a regex alternation, longest first, on any tokens', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '<', '🦙'), maxLength: 30 });
    const names = fc.uniqueArray(
      fc.string({ unit: fc.constantFrom('a', 'b', '<', '🦙'), minLength: 1, maxLength: 4 }),
      {
        minLength: 1,
        maxLength: 6,
      },
    );
    fc.assert(
      fc.property(names, text, (texts, input) => {
        const alternation = new RegExp(`(${[...texts].sort((a, b) => b.length - a.length).join('|')})`);
        const expected = input.split(alternation).filter((part) => part !== '');
        const parts = split(
          texts.map((name, id) => ({ id, text: name })),
          input,
        );
        expect(parts.map((part) => (typeof part === 'number' ? texts[part] : part))).toEqual(expected);
      }),
    );
  });
});
