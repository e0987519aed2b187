import { describe, expect, it } from 'vitest';
import { compileKernels } from '../../../../engine/kernels/wasm/compile-kernels.ts';
import { FunctionBuilder } from '../../../../engine/kernels/wasm/emitter/function-builder.ts';
import { buildModule } from '../../../../engine/kernels/wasm/emitter/module-builder.ts';
import { f32x4, i32x4 } from '../../../../engine/kernels/wasm/emitter/simd.ts';
import { kernelFunctions } from '../../../../engine/kernels/wasm/kernel-module.ts';
import { differingKernels } from '../../../../engine/kernels/wasm/kernel-self-test.ts';
import { opposite, withV8Flags } from '../../../../engine/kernels/wasm/v8-flags.ts';
import { WebAssemblyApi } from '../../../../engine/kernels/wasm/web-assembly.ts';

/** A module with relaxed SIMD is valid or not by a flag: that makes the flag's state visible. */
function hasRelaxedSimd(): boolean {
  const fn = new FunctionBuilder('f');
  const one = fn.constant(f32x4.constant(1));
  fn.returns(i32x4.extractLane(f32x4.relaxedMadd(one, one, one), 0));
  return WebAssemblyApi.validate(buildModule([fn], 'flag test'));
}

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

describe('compileKernels', () => {
  it('says why something is off', () => {
    const { relaxed, revectorized } = compileKernels({ numerics: 'portable', revectorize: 'off' });
    expect(relaxed).toEqual({ used: false, reason: expect.stringContaining('portable') });
    expect(revectorized).toEqual({ used: false, reason: expect.stringContaining('off') });
  });

  it('uses relaxed SIMD where V8 has it', () => {
    expect(compileKernels({ revectorize: 'off' }).relaxed.used).toBe(hasRelaxedSimd());
  });

  it('has a self-test for every kernel, which finds one that computes something else', () => {
    const features = { relaxed: false };
    const compile = (variant: string, functions = kernelFunctions(features)) =>
      new WebAssemblyApi.Module(buildModule(functions, variant));
    const right = compile('right');
    expect(differingKernels(compile('right again'), right)).toEqual([]);
    const broken = kernelFunctions(features).map((fn) => {
      if (fn.name !== 'add') return fn;
      const wrong = new FunctionBuilder('add');
      for (let i = 0; i < 4; i++) wrong.param('i32');
      return wrong;
    });
    expect(differingKernels(compile('broken', broken), right)).toEqual(['add']);
  });
});
