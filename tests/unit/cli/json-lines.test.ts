import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonLines } from '../../../cli/json-lines.ts';

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

async function read(text: string | Uint8Array, chunkSize = 1 << 16): Promise<unknown[]> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const values: unknown[] = [];
  for await (const { value } of jsonLines(inChunks(bytes, chunkSize))) values.push(value);
  return values;
}

describe('jsonLines', () => {
  it('gives back any values, however the bytes arrive', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue()), fc.integer({ min: 1, max: 9 }), async (values, chunkSize) => {
        const lines = values.map((value) => `${JSON.stringify(value)}\n`).join('');
        expect(JSON.stringify(await read(lines, chunkSize))).toBe(JSON.stringify(values));
      }),
    );
  });

  it('splits at line feeds only', async () => {
    expect(await read('"a\u2028b\u0085c"\r\n"d"')).toEqual(['a\u2028b\u0085c', 'd']);
  });

  it.each([
    ['1\n\n2\n', 'stdin: line 2 at byte 2: is empty'],
    ['1\n  \n', 'line 2 at byte 2: is empty'],
    ['"é"\n{\n', 'line 2 at byte 5: is not JSON: "{"'],
    [Buffer.from('310a22c32822', 'hex'), 'line 2 at byte 2: is not valid UTF-8'],
    ['\ufeff1\n', 'line 1 at byte 0: is not JSON'],
  ])('names the line and byte of %j', async (input, message) => {
    await expect(read(input)).rejects.toThrow(message);
  });

  it('lets the reader blame a line', async () => {
    for await (const { fail } of jsonLines(inChunks(Buffer.from('1\n'), 9))) {
      expect(fail('must be 2')).toMatchObject({ code: 'FORMAT', message: 'stdin: line 1 at byte 0: must be 2' });
    }
  });
});
