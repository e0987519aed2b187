import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { textLines } from '../../../cli/stdin.ts';

async function* inParts(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function lines(input: string | Uint8Array, partLength = 3, maxBytes?: number): Promise<string[]> {
  const list: string[] = [];
  const bytes = typeof input === 'string' ? Buffer.from(input) : input;
  for await (const line of textLines(inParts(bytes, partLength), maxBytes)) list.push(line);
  return list;
}

describe('lines of stdin', () => {
  // node:readline splits at U+2028 and U+2029 too: a message would be sent in two halves.
  it('end at line feeds, with or without a carriage return, and at nothing else', async () => {
    expect(await lines('a\u2028b\u2029c\r\nd\re\u0085f\v\f\n\nend')).toEqual([
      'a\u2028b\u2029c',
      'd\re\u0085f\v\f',
      '',
      'end',
    ]);
    expect(await lines('')).toEqual([]);
    expect(await lines('end\r\n')).toEqual(['end']);
  });

  it('are the same however the bytes come', async () => {
    const text = fc.string({
      unit: fc.oneof(fc.constantFrom('\n', '\r', '\u2028', '\u{1f999}', '\ufeff'), fc.string()),
    });
    await fc.assert(
      fc.asyncProperty(text, fc.integer({ min: 1, max: 9 }), async (wild, partLength) => {
        const whole = `-${wild.toWellFormed()}`;
        const expected = whole
          .replace(/\n$/, '')
          .split('\n')
          .map((line) => line.replace(/\r$/, ''));
        expect(await lines(whole, partLength)).toEqual(expected);
      }),
    );
  });

  it('lose a byte order mark at the start only', async () => {
    expect(await lines('\ufeffa\n\ufeffb')).toEqual(['a', '\ufeffb']);
  });

  it('that never end are refused as soon as they are too long', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('first\n');
      for (;;) yield Buffer.alloc(1000, 'x');
    }
    const read: string[] = [];
    const reading = (async () => {
      for await (const line of textLines(endless(), 10_000)) read.push(line);
    })();
    await expect(reading).rejects.toThrow('stdin: line 2 at byte 6: is longer than 10000 bytes');
    expect(read).toEqual(['first']);
  });

  it('must be UTF-8', async () => {
    await expect(lines(Uint8Array.of(97, 10, 98, 0xff, 10))).rejects.toThrow(
      'stdin: line 2 at byte 2: is not valid UTF-8',
    );
  });
});
