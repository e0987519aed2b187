/** The kernels of a backend. They are compiled as well as this V8 can when they are first needed; says what V8 gave and why
 * not more. */
import type { FeatureState } from '../kernel-backend.ts';
import type { FunctionBuilder } from './emitter/function-builder.ts';
import { buildModule } from './emitter/module-builder.ts';
import { whyNoAvx2 } from './find-avx2.ts';
import { siluMul } from './generators/elementwise.ts';
import type { CompiledKernels, KernelSet } from './kernel-module.ts';
import { differingKernels } from './kernel-self-test.ts';
import { kernelFunctions } from './kernel-sets.ts';
import { withV8Flags } from './v8-flags.ts';
import { type WasmModule, WebAssemblyApi } from './web-assembly.ts';

export interface CompileOptions {
  /** 'fast' may use relaxed SIMD, whose last bits may differ between CPU families; 'portable' gives the same bits on every
   * machine. Default 'fast'. */
  readonly numerics?: 'fast' | 'portable';
  /** Whether V8 may fuse pairs of 128-bit instructions into 256-bit ones: 'auto' tests every kernel's result first.
   * Default 'auto'. */
  readonly revectorize?: 'auto' | 'off';
}

/** Full optimization at once, rather than a quick compiler first and the real one after some use: no slow first tokens. */
const OPTIMIZE_AT_ONCE = ['--no-liftoff', '--no-wasm-lazy-compilation'];
const REVECTORIZE = '--experimental-wasm-revectorize';

export class KernelLibrary {
  readonly relaxed: FeatureState;
  #revectorized: FeatureState;
  #compiled: CompiledKernels;
  readonly #findDiffering: typeof differingKernels;

  /** @param findDiffering  for a test in which V8 gets kernels wrong */
  constructor({ numerics = 'fast', revectorize = 'auto' }: CompileOptions = {}, findDiffering = differingKernels) {
    this.#findDiffering = findDiffering;
    this.relaxed = relaxedState(numerics);
    const obstacle = revectorize === 'off' ? "switched off by the option revectorize: 'off'" : whyNoAvx2();
    this.#revectorized = obstacle === undefined ? { used: true } : { used: false, reason: obstacle };
    this.#compiled = { modules: [], sets: [], revectorized: this.#revectorized.used };
  }

  /** What there is so far. */
  get compiled(): CompiledKernels {
    return this.#compiled;
  }

  /** Whether V8's revectorization is in use, as far as what there is so far tells. */
  get revectorized(): FeatureState {
    return this.#revectorized;
  }

  /** Compiles what is missing: some tens of milliseconds, synchronously, because flags may not leak into other code.
   * @returns whether anything was missing; `compiled` is another object then */
  provide(sets: readonly KernelSet[]): boolean {
    const { modules, sets: present, revectorized } = this.#compiled;
    const missing = [...new Set(sets)].filter((set) => !present.includes(set));
    if (missing.length === 0) return false;
    const all = [...present, ...missing];
    const fused = revectorized ? this.#compileRevectorized(missing) : undefined;
    if (fused !== undefined) {
      this.#compiled = { modules: [...modules, fused], sets: all, revectorized };
    } else {
      // Kernels of both kinds do not go together: those that were revectorized before are compiled anew.
      const others = revectorized ? [this.#compilePlain(all)] : [...modules, this.#compilePlain(missing)];
      this.#compiled = { modules: others, sets: all, revectorized: false };
    }
    return true;
  }

  /** @returns undefined when V8 got a kernel wrong */
  #compileRevectorized(sets: readonly KernelSet[]): WasmModule | undefined {
    const functions = kernelFunctions(sets, { relaxed: this.relaxed.used, isPaired: true });
    const module = compile('revectorized', [...OPTIMIZE_AT_ONCE, REVECTORIZE], functions);
    const differing = this.#findDiffering(module, compile('baseline', [], functions));
    if (differing.length === 0) return module;
    this.#revectorized = { used: false, reason: `V8's code for ${differing.join(', ')} gave other results` };
    return undefined;
  }

  #compilePlain(sets: readonly KernelSet[]): WasmModule {
    return compile(
      'optimized',
      OPTIMIZE_AT_ONCE,
      kernelFunctions(sets, { relaxed: this.relaxed.used, isPaired: false }),
    );
  }
}

/** @param variant  keeps apart what V8 compiled under different flags (see buildModule) */
function compile(variant: string, flags: readonly string[], functions: readonly FunctionBuilder[]): WasmModule {
  const bytes = buildModule(functions, variant);
  return withV8Flags(flags, () => new WebAssemblyApi.Module(bytes));
}

function relaxedState(numerics: 'fast' | 'portable'): FeatureState {
  if (numerics === 'portable') return { used: false, reason: "switched off by the option numerics: 'portable'" };
  if (WebAssemblyApi.validate(buildModule([siluMul({ relaxed: true })], 'probe'))) return { used: true };
  return { used: false, reason: `V8 ${process.versions.v8} has no relaxed SIMD` };
}
