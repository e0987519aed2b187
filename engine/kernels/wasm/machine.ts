/** What an op needs to run on one thread: the memory and the kernels over it. Each thread has its own. */
import { UnsupportedError } from '../../errors.ts';
import { type CompiledKernels, instantiateKernels, type KernelSet, type Kernels } from './kernel-module.ts';
import { LinearMemory } from './linear-memory.ts';
import type { WasmMemory } from './web-assembly.ts';

export class Machine {
  readonly memory: LinearMemory;
  #kernels!: Kernels;
  #tileGroups!: 1 | 2;
  #sets: readonly KernelSet[] = [];

  /** @param shared  another thread's memory */
  constructor(compiled: CompiledKernels, shared?: WasmMemory) {
    this.memory = new LinearMemory(shared);
    this.install(compiled);
  }

  get kernels(): Kernels {
    return this.#kernels;
  }

  /** Groups of 8 weight rows that a full tile takes: two where registers hold 256 bits, one where they hold 128. */
  get tileGroups(): 1 | 2 {
    return this.#tileGroups;
  }

  /** Takes these kernels in place of those before. */
  install({ modules, sets, revectorized }: CompiledKernels): void {
    this.#sets = sets;
    this.#kernels = instantiateKernels(modules, this.memory.memory);
    this.#tileGroups = revectorized ? 2 : 1;
  }

  /** For a thread that cannot compile what it lacks.
   * @throws UnsupportedError when a kernel is missing */
  expectKernels(sets: readonly KernelSet[]): void {
    const missing = sets.find((set) => !this.#sets.includes(set));
    if (missing === undefined) return;
    throw new UnsupportedError(`kernels '${missing}'`, 'the backend was not told of them before this thread started');
  }
}
