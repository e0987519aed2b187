import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../engine/errors.ts';
import { OptionReader } from '../../../engine/util/option-reader.ts';

const NAMES = ['size', 'mode', 'name', 'signal', 'isOn', 'then'];
const readerOf = (options: unknown): OptionReader => new OptionReader('test options', options, NAMES, { dim: 'size' });

describe('an option reader', () => {
  it('takes undefined and null for an option that was left out', () => {
    for (const value of [undefined, null]) {
      const reader = readerOf({ size: value, mode: value, name: value, signal: value, isOn: value });
      expect(reader.wholeNumber('size', { fallback: 3 })).toBe(3);
      expect(reader.number('size', { fallback: undefined, min: 1 })).toBeUndefined();
      expect(reader.oneOf('mode', ['a', 'b'], 'b')).toBe('b');
      expect(reader.string('name', 'x')).toBe('x');
      expect(reader.boolean('isOn', true)).toBe(true);
      expect(reader.signal('signal')).toBeUndefined();
    }
  });

  it('asks a getter once: what was checked is what is used', () => {
    let numReads = 0;
    const reader = readerOf({
      get size() {
        return ++numReads === 1 ? 5 : Number.NaN;
      },
    });
    expect([1, 2, 3].map(() => reader.wholeNumber('size', { fallback: 0, min: 1 }))).toEqual([5, 5, 5]);
  });

  it('lets the error of a getter through', () => {
    const mine = new Error('not today');
    const options = {
      get size() {
        throw mine;
      },
    };
    expect(() => readerOf(options)).toThrow(mine);
  });

  it.each<[unknown, RegExp]>([
    [5, /^test options: must be an object, got 5$/],
    [null, /got null/],
    [[], /got an array/],
    [{ Size: 1 }, /unknown option "Size"; did you mean size\?/],
    [{ dim: 1 }, /unknown option "dim"; did you mean size\?/],
    [JSON.parse('{"__proto__": {"size": 1}}'), /unknown option "__proto__"/],
    [{ constructor: 1 }, /unknown option "constructor"/],
  ])('refuses %j', (options, message) => {
    expect(() => readerOf(options)).toThrow(InvalidArgumentError);
    expect(() => readerOf(options)).toThrow(message);
  });

  it.each<[(reader: OptionReader) => unknown, RegExp]>([
    [(reader) => reader.string('name', ''), /^name: must be a string, got a value of type object$/],
    [(reader) => reader.boolean('isOn', false), /^isOn: must be a boolean, got "yes"$/],
    [(reader) => reader.callback('mode'), /^mode: must be a function, got "c"$/],
    [(reader) => reader.oneOf('mode', ['a', 'b'], 'a'), /^mode: must be one of a, b, got "c"$/],
    [(reader) => reader.signal('signal'), /^signal: must be an AbortSignal, got a value of type object$/],
    [(reader) => reader.wholeNumber('size', { fallback: 0, max: 9 }), /^size: must be a whole number/],
    [(reader) => reader.number('size', { fallback: 0, min: 0, aboveMin: true }), /^size: must be a number above 0/],
  ])('names what is wrong (%#)', (read, message) => {
    const reader = readerOf({ name: {}, isOn: 'yes', mode: 'c', signal: { aborted: 'no' }, size: Number.NaN });
    expect(() => read(reader)).toThrow(message);
  });

  it('takes a signal of another realm, which is no instance of this one\u2019s', () => {
    const { signal } = new AbortController();
    const foreign = {
      aborted: false,
      addEventListener: signal.addEventListener.bind(signal),
      removeEventListener: signal.removeEventListener.bind(signal),
      throwIfAborted: signal.throwIfAborted.bind(signal),
    };
    expect(readerOf({ signal: foreign }).signal('signal')).toBe(foreign);
  });
});
