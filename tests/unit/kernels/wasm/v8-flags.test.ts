import { describe, expect, it } from 'vitest';
import { opposite, withV8Flags } from '../../../../engine/kernels/wasm/v8-flags.ts';

/** `%Name()` is JavaScript under one flag only. A new source text each time: compiled ones are cached. */
function hasNativesSyntax(): boolean {
  try {
    new Function(`return %GetOptimizationStatus(() => ${Math.random()})`);
    return true;
  } catch {
    return false;
  }
}

describe('withV8Flags', () => {
  it('sets a flag for the call and takes it back, also after an error', () => {
    expect(hasNativesSyntax()).toBe(false);
    expect(withV8Flags(['--allow-natives-syntax'], hasNativesSyntax)).toBe(true);
    expect(hasNativesSyntax()).toBe(false);
    const fails = () =>
      withV8Flags(['--allow-natives-syntax'], () => {
        throw new Error('inside');
      });
    expect(fails).toThrow('inside');
    expect(hasNativesSyntax()).toBe(false);
  });

  it('leaves a flag alone that the process was started with', () => {
    const { NODE_OPTIONS } = process.env;
    process.env.NODE_OPTIONS = '--allow_natives_syntax';
    try {
      expect(withV8Flags(['--allow-natives-syntax'], hasNativesSyntax)).toBe(false);
    } finally {
      if (NODE_OPTIONS === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = NODE_OPTIONS;
    }
  });

  it('knows how to take back both kinds', () => {
    expect(opposite('--no-liftoff')).toBe('--liftoff');
    expect(opposite('--experimental-wasm-revectorize')).toBe('--no-experimental-wasm-revectorize');
  });
});
