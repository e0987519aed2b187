import fc from 'fast-check';
import { expect, it } from 'vitest';
import { printable, printableJson, visibleControls } from '../../../cli/printable.ts';

const STEERING = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const anyText = fc.string({
  unit: fc.oneof(fc.string({ unit: 'binary', maxLength: 3 }), fc.constantFrom('\u009b', '\u202e', '\ud800')),
});

it('leaves nothing that steers a terminal', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect(printable(text)).not.toMatch(STEERING);
      expect(printableJson({ [text]: [text] })).not.toMatch(STEERING);
    }),
  );
});

it('running text keeps its lines, and all that is not a control', () => {
  expect(visibleControls('\u001b]0;title\u0007a\tb\r\n\u009b2Jc\u007f')).toBe(
    '\\u{1b}]0;title\\u{7}a\tb\\u{d}\n\\u{9b}2Jc\\u{7f}',
  );
  fc.assert(
    fc.property(anyText, (text) => {
      const shown = visibleControls(text);
      expect(shown).not.toMatch(/[^\P{Cc}\n\t]/u);
      expect(shown.replace(/\\u\{(\w+)\}/g, (_, hex: string) => String.fromCodePoint(Number.parseInt(hex, 16)))).toBe(
        text,
      );
    }),
  );
});

it('JSON keeps its value', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect(JSON.parse(printableJson([text]))).toEqual([text]);
    }),
  );
});

it('ordinary text stays as it is', () => {
  expect(printable('Größe 日本 🦙 "x"')).toBe('Größe 日本 🦙 "x"');
  expect(printable('\u001b[2J\n')).toBe('\\u{1b}[2J\\u{a}');
});
