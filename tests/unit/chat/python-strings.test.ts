import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mark, readMarks, unmark } from '../../../engine/chat/content-marks.ts';
import { strip } from '../../../engine/chat/jinja/python-strings.ts';
import { strftime } from '../../../engine/chat/jinja/strftime.ts';

const characters = fc.constantFrom(' ', '\n', 'a', '🦙', '\u3000', '\ufeff', '\x85', '\uDC00', '\uD800');
const text = fc.array(characters, { maxLength: 8 }).map((parts) => parts.join('').toWellFormed());
const marked = fc.array(fc.tuple(text, fc.boolean()), { maxLength: 5 });

describe('marks', () => {
  it('come off again, with the places they were at', () => {
    fc.assert(
      fc.property(marked, (parts) => {
        const read = readMarks(parts.map(([part, isContent]) => (isContent ? mark(part) : part)).join(''))!;
        expect(read.text).toBe(parts.map(([part]) => part).join(''));
        const contents = read.contentSpans.map(([start, end]) => read.text.slice(start, end)).join('');
        expect(contents).toBe(parts.map(([part, isContent]) => (isContent ? part : '')).join(''));
      }),
    );
  });

  it('that do not pair up are seen', () => {
    for (const cut of [mark('a').slice(1), mark('a').slice(0, -1), mark(mark('a'))])
      expect(readMarks(cut)).toBeUndefined();
  });
});

describe('strip', () => {
  it('does to marked text what it does to plain text, and leaves no mark alone', () => {
    fc.assert(
      fc.property(
        marked,
        fc.constantFrom('left', 'right', 'both'),
        fc.option(text, { nil: undefined }),
        (parts, side, chars) => {
          const stripped = strip(
            parts.map(([part, isContent]) => (isContent ? mark(part) : part)).join(''),
            side,
            chars,
          );
          expect(unmark(stripped)).toBe(strip(parts.map(([part]) => part).join(''), side, chars));
          expect(readMarks(stripped)).toBeDefined();
          if (unmark(stripped) === '') expect(stripped).toBe('');
        },
      ),
    );
  });
});

describe('strftime', () => {
  it('knows the days of a year, leap years, noon and unpadded numbers', () => {
    expect(strftime(new Date(2024, 11, 31), '%j')).toBe('366');
    expect(strftime(new Date(2023, 0, 1, 12), '%j %I %p')).toBe('001 12 PM');
    expect(strftime(new Date(2023, 4, 5, 0), '%-d/%-m %e %F %T %Q')).toBe('5/5  5 2023-05-05 00:00:00 %Q');
  });
});
