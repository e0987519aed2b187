import { describe, expect, it } from 'vitest';
import { FunctionBuilder } from '../../../../engine/kernels/wasm/emitter/function-builder.ts';
import { buildModule } from '../../../../engine/kernels/wasm/emitter/module-builder.ts';
import { f32x4, i32x4 } from '../../../../engine/kernels/wasm/emitter/simd.ts';
import { KernelLibrary } from '../../../../engine/kernels/wasm/kernel-library.ts';
import { instantiateKernels } from '../../../../engine/kernels/wasm/kernel-module.ts';
import { differingKernels } from '../../../../engine/kernels/wasm/kernel-self-test.ts';
import { ALL_SETS, kernelFunctions } from '../../../../engine/kernels/wasm/kernel-sets.ts';
import { WebAssemblyApi } from '../../../../engine/kernels/wasm/web-assembly.ts';

const hasRelaxedSimd = (): boolean => {
  const fn = new FunctionBuilder('f');
  const one = fn.constant(f32x4.constant(1));
  fn.returns(i32x4.extractLane(f32x4.relaxedMadd(one, one, one), 0));
  return WebAssemblyApi.validate(buildModule([fn], 'library test'));
};

function kernelNames({ compiled }: KernelLibrary): string[] {
  const memory = new WebAssemblyApi.Memory({ initial: 1, maximum: 1, shared: true });
  return Object.keys(instantiateKernels(compiled.modules, memory));
}

describe('KernelLibrary', () => {
  it('says why something is off', () => {
    const { relaxed, revectorized } = new KernelLibrary({ numerics: 'portable', revectorize: 'off' });
    expect(relaxed).toEqual({ used: false, reason: expect.stringContaining('portable') });
    expect(revectorized).toEqual({ used: false, reason: expect.stringContaining('off') });
  });

  it('uses relaxed SIMD where V8 has it', () => {
    expect(new KernelLibrary({ revectorize: 'off' }).relaxed.used).toBe(hasRelaxedSimd());
  });

  it('compiles what is asked for, once', () => {
    const library = new KernelLibrary({ revectorize: 'off' });
    expect(library.compiled.modules).toEqual([]);
    expect(library.provide(['common', 'weights q4_0'])).toBe(true);
    expect(kernelNames(library)).toContain('matmul_q4_0_4x8');
    expect(kernelNames(library).some((name) => name.includes('q8_0_') || name.includes('attention'))).toBe(false);
    const before = library.compiled;
    expect(library.provide(['weights q4_0'])).toBe(false);
    expect(library.compiled).toBe(before);
    expect(library.provide(['weights q4_0', 'pages f32'])).toBe(true);
    expect(library.compiled.sets).toEqual(['common', 'weights q4_0', 'pages f32']);
    expect(library.compiled.modules).toHaveLength(2);
    expect(kernelNames(library)).toEqual(expect.arrayContaining(['add', 'matmul_q4_0_4x8', 'attention_finish']));
  });

  it('does without revectorization from the set on in which V8 gets a kernel wrong', () => {
    const getsMatmulWrong: typeof differingKernels = (module) => {
      const memory = new WebAssemblyApi.Memory({ initial: 1, maximum: 1, shared: true });
      return Object.keys(instantiateKernels([module], memory)).filter((name) => name === 'matmul_f32_1x8');
    };
    const library = new KernelLibrary({}, getsMatmulWrong);
    if (!library.revectorized.used) return; // a machine without AVX2
    library.provide(['common']);
    expect(library.compiled.revectorized).toBe(true);
    library.provide(['weights f32']);
    expect(library.revectorized).toEqual({ used: false, reason: expect.stringContaining('matmul_f32_1x8') });
    expect(library.compiled).toMatchObject({ sets: ['common', 'weights f32'], revectorized: false });
    expect(library.compiled.modules).toHaveLength(1);
    expect(kernelNames(library)).toEqual(expect.arrayContaining(['add', 'matmul_f32_1x8']));
    library.provide(['pages f16']);
    expect(library.compiled.revectorized).toBe(false);
  });
});

describe('the self-test', () => {
  it('has a sample for every kernel, and finds one that computes something else', () => {
    const features = { relaxed: false };
    const compile = (variant: string, functions = kernelFunctions(ALL_SETS, features)) =>
      new WebAssemblyApi.Module(buildModule(functions, variant));
    const right = compile('right');
    expect(differingKernels(compile('right again'), right)).toEqual([]);
    const broken = kernelFunctions(ALL_SETS, features).map((fn) => {
      if (fn.name !== 'add') return fn;
      const wrong = new FunctionBuilder('add');
      for (let i = 0; i < 4; i++) wrong.param('i32');
      return wrong;
    });
    expect(differingKernels(compile('broken', broken), right)).toEqual(['add']);
  });
});
