import fc from 'fast-check';
import { Packr } from 'msgpackr/pack';
import { describe, expect, it } from 'vitest';
import { packPlain, unpackPlain } from '../../../engine/prompt-cache/plain-msgpack.ts';

const { plain } = fc.letrec((tie) => ({
  plain: fc.oneof(
    { depthSize: 'small', maxDepth: 5 },
    fc.oneof(
      fc.integer(),
      fc.maxSafeInteger(),
      // msgpackr writes -0 as the integer 0.
      fc.double({ noNaN: true }).map((value) => value + 0),
      fc.boolean(),
      fc.constant(null),
      fc.string({ maxLength: 300, unit: 'grapheme' }),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    ),
    fc.array(tie('plain'), { maxLength: 20 }),
    fc.dictionary(
      fc.string({ maxLength: 40 }).filter((key) => key !== '__proto__'),
      tie('plain'),
      { maxKeys: 20, noNullPrototype: true },
    ),
  ),
}));

describe('plain MessagePack', () => {
  it('gives back what was packed', () => {
    fc.assert(
      fc.property(plain, (value) => {
        expect(unpackPlain(Buffer.from(packPlain(value)))).toEqual(value);
      }),
    );
  });

  it.each([0, 1, 31, 32, 255, 256, 65_535, 65_536])('takes %i entries of any kind', (size) => {
    for (const value of [
      Buffer.alloc(size, 7),
      'x'.repeat(size),
      Array.from({ length: size }, (_, i) => i),
      Object.fromEntries(Array.from({ length: size }, (_, i) => [`k${i}`, i])),
    ]) {
      expect(unpackPlain(packPlain(value))).toEqual(value);
    }
  });

  it('answers or throws for any bytes, and takes at most what is there', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          unpackPlain(bytes);
        } catch (error) {
          expect((error as Error).message).toMatch(/ends in|after its only|nested|plain one/);
        }
      }),
    );
  });

  it('refuses every prefix of a value', () => {
    const bytes = packPlain({ a: [1, 1e9, -5, 'text', Buffer.alloc(300)], b: { c: 'x'.repeat(300), d: 0.5 } });
    for (let length = 0; length < bytes.length; length++) {
      expect(() => unpackPlain(bytes.subarray(0, length))).toThrow(/ends in the middle/);
    }
  });

  it.each([
    ['a date', new Date(0)],
    ['a regular expression', /(a+)+$/],
    ['a set', new Set([1])],
    ['typed arrays', Float64Array.of(1)],
    ['a large integer extension', 2n ** 80n],
  ])('refuses extensions: %s', (_, value) => {
    const bytes = new Packr({ useRecords: false, moreTypes: true, useBigIntExtension: true }).pack([value]);
    expect(() => unpackPlain(bytes)).toThrow(/not a plain one/);
  });

  it('refuses records, whose readers msgpackr would compile', () => {
    expect(() => unpackPlain(new Packr({ useRecords: true }).pack({ a: 1, b: 2 }))).toThrow(/not a plain one/);
  });

  it('refuses what is nested too deep, and what says that it is huge', () => {
    expect(() => unpackPlain(Buffer.alloc(100_000, 0x91))).toThrow(/nested/);
    for (const head of [0xc6, 0xdb, 0xdd, 0xdf]) {
      expect(() => unpackPlain(Buffer.of(head, 255, 255, 255, 255, 0))).toThrow(/ends in the middle/);
    }
  });
});
