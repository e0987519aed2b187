import { describe, expect, it } from 'vitest';
import { InvalidArgumentError, QuernError, UnsupportedError } from '../../../engine/errors.ts';

describe('messages', () => {
  it('stay a line, whatever they quote', () => {
    const long = 'x'.repeat(1_000_000);
    expect(new InvalidArgumentError('text', long).message.length).toBeLessThan(1010);
    const unsupported = new UnsupportedError(`architecture '${long}'`, 'known is llama').message;
    expect(unsupported).toMatch(/^architecture 'x{380,400}\.\.\. is not supported: known is llama$/);
  });

  it('are whole when they are of a sensible length', () => {
    expect(new UnsupportedError('a', 'b').message).toBe('a is not supported: b');
  });
});

describe('QuernError.isInstance', () => {
  it('knows an error of another copy of the package, and nothing else', () => {
    const other = Object.assign(new Error('x'), { [Symbol.for('quern.error')]: true });
    expect(QuernError.isInstance(other)).toBe(true);
    for (const value of [new Error('x'), null, undefined, 'x', {}]) expect(QuernError.isInstance(value)).toBe(false);
  });
});
