import { describe, expect, it } from 'vitest';
import { FormatError } from '../../../../engine/errors.ts';
import { GgufFields } from '../../../../formats/gguf/gguf-fields.ts';
import { type GgufValue, gguf } from '../../../../formats/gguf/gguf-value.ts';

const metadata = new Map<string, GgufValue>([
  ['text', gguf.string('llama')],
  ['flag', gguf.bool(false)],
  ['u32', gguf.uint32(7)],
  ['i32', gguf.int32(-7)],
  ['u64', gguf.uint64(8)],
  ['huge', gguf.uint64(2n ** 60n)],
  ['f32', gguf.float32(0.5)],
  ['nan', gguf.float32(Number.NaN)],
  ['texts', gguf.strings(['a', 'b'])],
  ['i32s', gguf.int32s([1, -2])],
  ['u64s', { type: 'array', elementType: 'uint64', value: BigUint64Array.of(1n, 2n ** 60n) }],
  ['f32s', gguf.float32s([0.5])],
  ['flags', { type: 'array', elementType: 'bool', value: Uint8Array.of(1, 0) }],
  ['none', gguf.strings([])],
]);
const fields = new GgufFields('model.gguf', metadata, new Map([...metadata.keys()].map((key, i) => [key, 100 + i])));

describe('metadata by wanted type', () => {
  it('gives what the key holds', () => {
    expect(fields.string('text')).toBe('llama');
    expect(fields.bool('flag')).toBe(false);
    expect(fields.uint('u32')).toBe(7);
    expect(fields.uint('u64')).toBe(8);
    expect(fields.int('i32')).toBe(-7);
    expect(fields.float('f32')).toBe(0.5);
    expect(fields.float('u32')).toBe(7);
    expect(fields.float('nan')).toBeNaN();
    expect(fields.strings('texts')).toEqual(['a', 'b']);
    expect(Array.from(fields.numbers('i32s'))).toEqual([1, -2]);
    expect(Array.from(fields.numbers('u64s'))).toEqual([1, 2 ** 60]);
    expect(Array.from(fields.numbers('f32s'))).toEqual([0.5]);
    expect(fields.bools('flags')).toEqual([true, false]);
  });

  it('takes an empty array for an array of anything: its element type says nothing', () => {
    expect(fields.strings('none')).toEqual([]);
    expect(Array.from(fields.numbers('none'))).toEqual([]);
  });

  it('gives the fallback for a missing key only', () => {
    expect(fields.uint('missing', 3)).toBe(3);
    expect(fields.string('missing', '')).toBe('');
    expect(fields.bool('missing', true)).toBe(true);
    expect(fields.strings('missing', [])).toEqual([]);
    expect(() => fields.uint('text', 3)).toThrow(FormatError);
  });

  it.each([
    ['string', 'u32', /u32 at byte 102: must be a string, got uint32 7/],
    ['bool', 'text', /must be a bool, got string llama/],
    ['uint', 'i32', /i32 at byte 103: must be a whole number from 0, got -7/],
    ['uint', 'f32', /must be a whole number, got float32 0.5/],
    ['uint', 'huge', /must be a whole number, got uint64 1152921504606846976/],
    ['int', 'texts', /got an array of 2 string/],
    ['float', 'flag', /must be a number, got bool false/],
    ['strings', 'i32s', /must be an array of strings, got an array of 2 int32/],
    ['numbers', 'texts', /must be an array of numbers/],
    ['numbers', 'flags', /must be an array of numbers/],
    ['uints', 'i32s', /entry 1 must be a whole number from 0, got -2/],
    ['uints', 'u64s', /entry 1 must be a whole number from 0/],
    ['uints', 'f32s', /entry 0 must be a whole number from 0, got 0.5/],
    ['bools', 'i32s', /must be an array of bools/],
    ['uint', 'absent', /model.gguf: absent at byte 0: the key is missing/],
  ] as const)('%s of %s is a FormatError', (getter, key, message) => {
    expect(() => fields[getter](key)).toThrow(FormatError);
    expect(() => fields[getter](key)).toThrow(message);
  });
});
