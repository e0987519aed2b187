import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../../../engine/errors.ts';
import { JsonReader } from '../../../../formats/json/json-reader.ts';
import { parseJson } from '../../../../formats/json/parse-json.ts';

const parse = (text: string | Uint8Array) => parseJson(Buffer.from(text as string), 'config.json');

/** Where and why a text is refused. */
function refusal(text: string | Uint8Array): { byteOffset: number; message: string } {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new Error(`${text} was accepted`);
}

describe('parseJson', () => {
  it('agrees with JSON.parse on whatever JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(0, 2, '\t'), (value, space) => {
        const text = JSON.stringify(value, null, space);
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it('refuses with a FormatError what JSON.parse refuses', () => {
    const nearlyJson = fc
      .tuple(
        fc.jsonValue({ maxDepth: 3 }),
        fc.nat(),
        fc.constantFrom('"', '{', '}', ',', '0', '\\', '-', 'e', ' ', '\u0001'),
      )
      .map(([value, at, character]) => {
        const text = JSON.stringify(value);
        const position = at % (text.length + 1);
        return text.slice(0, position) + character + text.slice(position);
      });
    fc.assert(
      fc.property(nearlyJson, (text) => {
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          expect(() => parse(text)).toThrow(FormatError);
          return;
        }
        // What JSON.parse takes, this takes too, unless a key occurs twice or a number is beyond all finite ones.
        try {
          expect(parse(text)).toEqual(expected);
        } catch (error) {
          expect(String(error)).toMatch(/occurs twice|is too large/);
        }
      }),
      { examples: [['[1.0005635756586452e+1002]']] },
    );
  });

  it.each([
    ['', 0, /expected a value, got the end of the text/],
    ['  ', 2, /got the end/],
    ['{"a":1', 6, /expected '}', got the end/],
    ['{"a" 1}', 5, /a at byte 5: expected ':', got "1}"/],
    ['{"a":1,}', 7, /expected '"'/],
    ['[1,]', 3, /expected a value/],
    ['[1 2]', 3, /expected ']'/],
    ['{"ä":tru}', 6, /ä at byte 6: expected true/],
    ['"abc', 0, /the string does not end/],
    ['"a\nb"', 2, /control character/],
    ['"\\x"', 0, /invalid escape/],
    ['"\\', 0, /does not end/],
    ['01', 0, /expected a number, got "01"/],
    ['+1', 0, /expected a value/],
    ['1e999', 0, /1e999 is too large/],
    ['NaN', 0, /expected a value/],
    ['{} {}', 3, /expected the end of the text/],
    ['{"a":1,"\\u0061":2}', 7, /a at byte 7: the key occurs twice/],
    [`${'['.repeat(65)}${']'.repeat(65)}`, 64, /nests deeper than 64/],
    ['['.repeat(1_000_000), 64, /nests deeper than 64/],
    [`[${'[],'.repeat(5000)}0]`, 4, /too many objects or arrays/],
  ])('refuses %.20s at byte %i', (text, byteOffset, message) => {
    const error = refusal(text);
    expect(error.message).toMatch(message);
    if (!/too many/.test(error.message)) expect(error.byteOffset).toBe(byteOffset);
  });

  it('refuses what is not UTF-8 and steps over a byte order mark', () => {
    expect(refusal(Uint8Array.of(0x22, 0xff, 0x22)).message).toMatch(/not valid UTF-8/);
    expect(parse('\ufeff{"a":1}')).toEqual({ a: 1 });
    expect(refusal('\ufeff{"a":x}').byteOffset).toBe(8);
  });

  it('treats __proto__ and constructor as keys like any other', () => {
    const value = parse('{"__proto__":{"polluted":1},"constructor":2}') as Record<string, unknown>;
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(value)).toBeNull();
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(refusal('{"__proto__":1,"__proto__":2}').message).toMatch(/occurs twice/);
    expect((parse('{}') as Record<string, unknown>).toString).toBeUndefined();
  });
});

describe('JsonReader.uint', () => {
  it.each(['-1', '1.0', '1e3', '9007199254740992', '"1"', 'null'])('refuses %s', (text) => {
    expect(() => new JsonReader(Buffer.from(text), 'f').uint('n')).toThrow(FormatError);
  });

  it('takes whole numbers to 2^53 - 1', () => {
    for (const value of [0, 7, 2 ** 53 - 1])
      expect(new JsonReader(Buffer.from(` ${value}`), 'f').uint('n')).toBe(value);
  });
});
