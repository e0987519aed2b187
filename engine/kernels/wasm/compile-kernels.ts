/** Compiles the kernel module as well as this V8 can, and says what it got and why not more. */

import type { FeatureState } from '../kernel-backend.ts';
import type { FunctionBuilder } from './emitter/function-builder.ts';
import { buildModule } from './emitter/module-builder.ts';
import { whyNoAvx2 } from './find-avx2.ts';
import { siluMul } from './generators/elementwise.ts';
import { kernelFunctions } from './kernel-module.ts';
import { differingKernels } from './kernel-self-test.ts';
import { withV8Flags } from './v8-flags.ts';
import { type WasmModule, WebAssemblyApi } from './web-assembly.ts';

export interface CompileOptions {
  /** 'fast' may use relaxed SIMD, whose last bits may differ between CPU families; 'portable' gives the same bits on
   * every machine. Default 'fast'. */
  readonly numerics?: 'fast' | 'portable';
  /** Whether V8 may fuse pairs of 128-bit instructions into 256-bit ones: 'auto' tests every kernel's result first.
   * Default 'auto'. */
  readonly revectorize?: 'auto' | 'off';
}

export interface CompiledKernels {
  readonly module: WasmModule;
  readonly relaxed: FeatureState;
  readonly revectorized: FeatureState;
}

/** Full optimization at once, rather than a quick compiler first and the real one after some use: no slow first tokens. */
const OPTIMIZE_AT_ONCE = ['--no-liftoff', '--no-wasm-lazy-compilation'];
const REVECTORIZE = '--experimental-wasm-revectorize';

/** Takes some 100 ms, synchronously, because flags may not leak into other code. */
export function compileKernels({ numerics = 'fast', revectorize = 'auto' }: CompileOptions = {}): CompiledKernels {
  const relaxed = relaxedState(numerics);
  // The variant's name keeps apart what V8 compiled under different flags (see buildModule).
  const compile = (variant: string, flags: readonly string[], functions: readonly FunctionBuilder[]): WasmModule => {
    const bytes = buildModule(functions, variant);
    return withV8Flags(flags, () => new WebAssemblyApi.Module(bytes));
  };
  const generate = (isPaired: boolean) => kernelFunctions({ relaxed: relaxed.used, isPaired });
  const plain = (reason: string): CompiledKernels => ({
    module: compile('optimized', OPTIMIZE_AT_ONCE, generate(false)),
    relaxed,
    revectorized: { used: false, reason },
  });

  if (revectorize === 'off') return plain("switched off by the option revectorize: 'off'");
  const obstacle = whyNoAvx2();
  if (obstacle !== undefined) return plain(obstacle);
  const functions = generate(true);
  const module = compile('revectorized', [...OPTIMIZE_AT_ONCE, REVECTORIZE], functions);
  const differing = differingKernels(module, compile('baseline', [], functions));
  if (differing.length > 0) return plain(`V8's code for ${differing.join(', ')} gave other results`);
  return { module, relaxed, revectorized: { used: true } };
}

function relaxedState(numerics: 'fast' | 'portable'): FeatureState {
  if (numerics === 'portable') return { used: false, reason: "switched off by the option numerics: 'portable'" };
  if (WebAssemblyApi.validate(buildModule([siluMul({ relaxed: true })], 'probe'))) return { used: true };
  return { used: false, reason: `V8 ${process.versions.v8} has no relaxed SIMD` };
}
