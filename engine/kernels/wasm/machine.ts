/** What an op needs to run on one thread: the memory and the kernels over it. Each thread has its own. */
import { instantiateKernels, type Kernels } from './kernel-module.ts';
import { LinearMemory } from './linear-memory.ts';
import type { WasmMemory, WasmModule } from './web-assembly.ts';

export interface Machine {
  readonly memory: LinearMemory;
  readonly kernels: Kernels;
  /** Groups of 8 weight rows that a full tile takes: two where registers hold 256 bits, one where they hold 128. */
  readonly tileGroups: 1 | 2;
}

export function newMachine(module: WasmModule, revectorized: boolean, shared?: WasmMemory): Machine {
  const memory = new LinearMemory(shared);
  return { memory, kernels: instantiateKernels(module, memory.memory), tileGroups: revectorized ? 2 : 1 };
}
