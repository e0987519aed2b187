import fc from 'fast-check';
import { expect, it } from 'vitest';
import { byteLines } from '../../../cli/byte-lines.ts';

async function* inParts(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function lines(text: string, partLength = 5, maxBytes = 1000) {
  const list = [];
  for await (const { bytes, ...rest } of byteLines(inParts(Buffer.from(text), partLength), maxBytes)) {
    list.push({ ...rest, text: bytes === undefined ? undefined : Buffer.from(bytes).toString() });
  }
  return list;
}

it('splits at line feeds only, and says where each line is and whether it is whole', async () => {
  expect(await lines('a\r\n\n"\u2028"\nend')).toEqual([
    { index: 0, byteOffset: 0, text: 'a\r', isWhole: true },
    { index: 1, byteOffset: 3, text: '', isWhole: true },
    { index: 2, byteOffset: 4, text: '"\u2028"', isWhole: true },
    { index: 3, byteOffset: 10, text: 'end', isWhole: false },
  ]);
  expect(await lines('')).toEqual([]);
});

it('passes over a line that is too long and goes on after it', async () => {
  expect(await lines(`ab\n${'x'.repeat(50)}\ncd\n`, 7, 10)).toEqual([
    { index: 0, byteOffset: 0, text: 'ab', isWhole: true },
    { index: 1, byteOffset: 3, text: undefined, isWhole: true },
    { index: 2, byteOffset: 54, text: 'cd', isWhole: true },
  ]);
});

it('tells of a line that is too long at once, and ends, when that is wanted', async () => {
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('ab\n');
    for (;;) yield Buffer.from('xxxx');
  }
  const list = [];
  for await (const { bytes, ...rest } of byteLines(endless(), 10, { endsAtLongLine: true })) {
    list.push({ ...rest, isKept: bytes !== undefined });
  }
  expect(list).toEqual([
    { index: 0, byteOffset: 0, isWhole: true, isKept: true },
    { index: 1, byteOffset: 3, isWhole: false, isKept: false },
  ]);
});

it('gives the same lines however the bytes come', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string()), fc.integer({ min: 1, max: 20 }), async (parts, partLength) => {
      const text = parts.map((part) => part.replaceAll('\n', ' ').toWellFormed()).join('\n');
      const found = await lines(text, partLength);
      expect(found.map((line) => line.text)).toEqual(text === '' ? [] : text.replace(/\n$/, '').split('\n'));
      const bytes = Buffer.from(text);
      for (const line of found) {
        const { length } = Buffer.from(line.text!);
        expect(bytes.subarray(line.byteOffset, line.byteOffset + length).toString()).toBe(line.text);
      }
    }),
  );
});
