import { describe, expect, it } from 'vitest';
import { ggufEntry, jsonEntry } from '../../../engine/inspect/metadata-entry.ts';
import { type GgufValue, gguf } from '../../../formats/index.ts';

const shown = (value: GgufValue, isFull = false): unknown => ggufEntry('key', value, isFull).value;

describe('ggufEntry', () => {
  it('shows a 32-bit float by the shortest number that is it', () => {
    expect(shown(gguf.float32(Math.fround(1e-5)))).toBe(1e-5);
    expect(shown(gguf.float32s([0.1, 1 / 3]))).toEqual([0.1, 0.33333334]);
    expect(shown({ type: 'float64', value: 0.30000000000000004 })).toBe(0.30000000000000004);
  });

  it('turns into text what JSON has no number for', () => {
    expect(shown(gguf.float32s([Number.NaN, Infinity]))).toEqual(['NaN', 'Infinity']);
    expect(shown(gguf.uint64(2n ** 63n))).toBe('9223372036854775808');
    expect(shown({ type: 'array', elementType: 'int64', value: BigInt64Array.of(-1n) })).toEqual(['-1']);
  });

  it('shows the beginning of what is long, and its length', () => {
    const numbers = ggufEntry('key', gguf.int32s(Array.from({ length: 100 }, (_, i) => i)), false);
    expect(numbers).toEqual({ key: 'key', type: 'array of int32', value: [0, 1, 2, 3, 4, 5, 6, 7], length: 100 });
    expect(ggufEntry('key', gguf.string('x'.repeat(300)), false)).toMatchObject({ length: 300 });
    expect(shown(gguf.string(`${'x'.repeat(199)}🦙`))).toBe(`${'x'.repeat(199)}\ufffd`);
    expect(shown(gguf.strings(['y'.repeat(300)]))).toEqual(['y'.repeat(200)]);
  });

  it('shows everything when asked to', () => {
    expect(shown(gguf.string('x'.repeat(300)), true)).toBe('x'.repeat(300));
    expect(shown(gguf.uint32s(new Array(9).fill(1)), true)).toHaveLength(9);
  });

  it('knows bools and arrays of arrays', () => {
    expect(shown({ type: 'array', elementType: 'bool', value: Uint8Array.of(1, 0) })).toEqual([true, false]);
    expect(shown({ type: 'array', elementType: 'array', value: [gguf.int32s([1]), gguf.strings(['a'])] })).toEqual([
      [1],
      ['a'],
    ]);
  });
});

it('jsonEntry names JSON types', () => {
  expect(jsonEntry('a', null, false)).toEqual({ key: 'a', type: 'null', value: null });
  expect(jsonEntry('a', [1], false)).toEqual({ key: 'a', type: 'array', value: [1] });
  expect(jsonEntry('a', { b: 1 }, false)).toEqual({ key: 'a', type: 'object', value: { b: 1 } });
});
