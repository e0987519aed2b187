import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../engine/errors.ts';
import { StopStringMatcher } from '../../../engine/sampling/stop-string-matcher.ts';

interface Outcome {
  readonly text: string;
  readonly matched: string | undefined;
}

/** The first stop string to be complete, the longer of two that end together. */
function naive(text: string, stops: readonly string[], includeStop: boolean): Outcome {
  let best: { end: number; stop: string } | undefined;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    if (start === -1) continue;
    const end = start + stop.length;
    if (best === undefined || end < best.end || (end === best.end && stop.length > best.stop.length)) {
      best = { end, stop };
    }
  }
  if (best === undefined) return { text, matched: undefined };
  return { text: text.slice(0, includeStop ? best.end : best.end - best.stop.length), matched: best.stop };
}

/** The longest end of the text that a stop string begins with. */
function naiveHeld(text: string, stops: readonly string[]): number {
  for (let length = text.length; length > 0; length--) {
    if (stops.some((stop) => length < stop.length && stop.startsWith(text.slice(text.length - length)))) return length;
  }
  return 0;
}

// Two letters make overlaps, repetitions and near misses common.
const letters = fc.constantFrom('a', 'b');
const stopStrings = fc.array(fc.string({ unit: letters, minLength: 1, maxLength: 6 }), { maxLength: 4 });
const piecesOfText = fc.array(fc.string({ unit: letters, maxLength: 5 }), { maxLength: 12 });

describe('StopStringMatcher', () => {
  it('agrees with indexOf on the whole text, however it is cut, and is never early or late', () => {
    fc.assert(
      fc.property(piecesOfText, stopStrings, fc.boolean(), (pieces, stops, includeStop) => {
        const matcher = new StopStringMatcher(stops, { includeStop });
        let fed = '';
        let shown = '';
        for (const piece of pieces) {
          fed += piece;
          shown += matcher.feed(piece);
          const expected = naive(fed, stops, includeStop);
          expect(matcher.matched).toBe(expected.matched);
          const numHeld = expected.matched !== undefined || includeStop ? 0 : naiveHeld(fed, stops);
          expect(shown).toBe(expected.text.slice(0, expected.text.length - numHeld));
        }
        shown += matcher.flush();
        expect(shown).toBe(naive(fed, stops, includeStop).text);
      }),
    );
  });

  it('agrees for any text at all', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.array(fc.nat(50)), fc.gen(), (text, cuts, gen) => {
        const start = gen(fc.nat, text.length);
        const stops = [text.slice(start, start + gen(fc.nat, 5)), 'x'].filter((stop) => stop !== '');
        const matcher = new StopStringMatcher(stops);
        const borders = [0, ...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length];
        let shown = '';
        for (let i = 1; i < borders.length; i++) shown += matcher.feed(text.slice(borders[i - 1], borders[i]));
        expect(shown + matcher.flush()).toBe(naive(text, stops, false).text);
      }),
    );
  });

  it('works as its header draws it', () => {
    const matcher = new StopStringMatcher(['###']);
    expect([matcher.feed('Hi #'), matcher.feed('# no'), matcher.feed('w ###x')]).toEqual(['Hi ', '## no', 'w ']);
    expect(matcher.matched).toBe('###');
    expect([matcher.feed('more'), matcher.flush()]).toEqual(['', '']);
  });

  it('the first to be complete wins, then the longer', () => {
    const run = (text: string, stops: string[]) => {
      const matcher = new StopStringMatcher(stops);
      return [matcher.feed(text), matcher.matched];
    };
    expect(run('xabcdx', ['abcd', 'bc'])).toEqual(['xa', 'bc']);
    expect(run('xabcx', ['c', 'abc', 'bc'])).toEqual(['x', 'abc']);
    expect(run('xabcx', ['ab', 'abc'])).toEqual(['x', 'ab']);
  });

  it('keeps the stop string when asked, and then holds nothing back', () => {
    const matcher = new StopStringMatcher(['END'], { includeStop: true });
    expect([matcher.feed('the E'), matcher.feed('ND of it')]).toEqual(['the E', 'ND']);
    expect(matcher.matched).toBe('END');
  });

  it('takes stop strings that end before they may stop for text, wherever they begin', () => {
    fc.assert(
      fc.property(piecesOfText, stopStrings, fc.nat(12), (pieces, stops, numIgnored) => {
        const matcher = new StopStringMatcher(stops);
        const shown = pieces.map((piece, i) => matcher.feed(piece, i >= numIgnored)).join('') + matcher.flush();
        const text = pieces.join('');
        const firstEnd = pieces.slice(0, numIgnored).join('').length + 1;
        let expected = text;
        for (let end = text.length; end >= firstEnd; end--) {
          const ending = stops.filter((stop) => text.slice(0, end).endsWith(stop)).map((stop) => stop.length);
          if (ending.length > 0) expected = text.slice(0, end - Math.max(...ending));
        }
        expect(shown).toBe(expected);
      }),
    );
  });

  it('takes stop strings for text until they may stop', () => {
    const matcher = new StopStringMatcher(['ab']);
    expect([matcher.feed('xab', false), matcher.feed('ya', false), matcher.feed('bz')]).toEqual(['xab', 'y', '']);
    expect(matcher.matched).toBe('ab');
    const overlapping = new StopStringMatcher(['aa']); // the second match begins inside the first
    expect([overlapping.feed('aa', false), overlapping.feed('a'), overlapping.matched]).toEqual(['a', '', 'aa']);
  });

  it('gives back what it held at the end', () => {
    const matcher = new StopStringMatcher(['stop']);
    expect([matcher.feed('full st'), matcher.flush(), matcher.flush()]).toEqual(['full ', 'st', '']);
  });

  it('without stop strings passes everything on', () => {
    const matcher = new StopStringMatcher([]);
    expect([matcher.feed('anything'), matcher.flush(), matcher.matched]).toEqual(['anything', '', undefined]);
  });

  it('refuses an empty stop string', () => {
    expect(() => new StopStringMatcher(['a', ''])).toThrow(InvalidArgumentError);
  });

  it('takes linear time on text that is all near misses', () => {
    // 200,000 characters, each of which could begin a 20,000-character stop: quadratic would be 4e9 steps.
    const stop = `${'a'.repeat(20_000)}b`;
    const matcher = new StopStringMatcher([stop]);
    let numShown = 0;
    for (let i = 0; i < 20; i++) numShown += matcher.feed('a'.repeat(10_000)).length;
    expect(numShown).toBe(180_000);
    expect(matcher.feed('b')).toBe('');
    expect(matcher.matched).toBe(stop);
  });
});
