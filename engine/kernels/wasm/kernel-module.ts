/** Compiled kernels, and what they are once they stand over a memory. */
import type { FloatDType } from '../../tensor/dtype.ts';
import type { KV_DTYPES } from '../ops.ts';
import { type WasmMemory, type WasmModule, WebAssemblyApi } from './web-assembly.ts';

/** A kernel: takes addresses, counts and scales as its generator says. */
export type Kernel = (...args: number[]) => number;

/** Kernels by name. */
export type Kernels = Readonly<Record<string, Kernel>>;

/** Kernels that are needed together: those that no format has a part in; those for KV pages of a dtype, where all need f32's
 * too; those for weights of a dtype. */
export type KernelSet = 'common' | `pages ${(typeof KV_DTYPES)[number]}` | `weights ${FloatDType}`;

/** Survives a message: modules stay compiled. */
export interface CompiledKernels {
  readonly modules: readonly WasmModule[];
  /** What is in the modules. */
  readonly sets: readonly KernelSet[];
  readonly revectorized: boolean;
}

export function instantiateKernels(modules: readonly WasmModule[], memory: WasmMemory): Kernels {
  const instances = modules.map((module) => new WebAssemblyApi.Instance(module, { env: { memory } }));
  return Object.assign({}, ...instances.map(({ exports }) => exports)) as Kernels;
}
