/** What an op needs to become dispatches: memory, a recorder, and kernels that are made once per variant. */
import type { Tensor } from '../../tensor/tensor.ts';
import type { CommandRecorder } from './command-recorder.ts';
import type { GpuAbilities } from './gpu-abilities.ts';
import type { GpuKernel } from './gpu-kernel.ts';
import type { GpuMemory } from './gpu-memory.ts';
import type { ScratchBuffers } from './scratch-buffers.ts';
import type { Finding } from './step-tape.ts';

/** Kernels by label. The code of a variant is put together the first time that it is asked for. */
export class KernelLibrary {
  readonly #kernels = new Map<string, GpuKernel>();

  get(label: string, make: () => Omit<GpuKernel, 'label' | 'entryPoint'>): GpuKernel {
    let kernel = this.#kernels.get(label);
    if (kernel === undefined) {
      kernel = { label, entryPoint: 'main', ...make() };
      this.#kernels.set(label, kernel);
    }
    return kernel;
  }
}

export interface OpContext {
  readonly memory: GpuMemory;
  readonly recorder: CommandRecorder;
  readonly library: KernelLibrary;
  readonly scratch: ScratchBuffers;
  readonly abilities: GpuAbilities;
  /** Memory that a workgroup may have, in bytes. */
  readonly workgroupBytes: number;
}

/** How an op looks at integers in tensors: to refuse bad ones, and to see how much there is to do. A step that is repeated
 * looks again (`step-tape.ts`).
 * @returns what `find` says; nothing else of what it saw may reach a dispatch */
export function look(
  { memory, recorder }: OpContext,
  tensors: readonly Tensor[],
  find: (...ints: Int32Array[]) => Finding,
): Finding {
  return recorder.look(() => find(...tensors.map((tensor) => memory.intsOf(tensor))));
}

const NOTHING: Finding = [];

/** A look that finds nothing but bad integers. */
export function checkInts(context: OpContext, tensor: Tensor, check: (ints: Int32Array) => void): void {
  look(context, [tensor], (ints) => {
    check(ints);
    return NOTHING;
  });
}

/** The params struct of a dispatch: whole numbers first, then floats, 4 bytes each. */
export function packParams(ints: readonly number[], floats: readonly number[] = []): Uint32Array {
  const words = new Uint32Array(ints.length + floats.length);
  // By hand: `set` takes several times as long for a few numbers, and this runs for every dispatch.
  for (let i = 0; i < ints.length; i++) words[i] = ints[i]!;
  if (floats.length > 0) new Float32Array(words.buffer).set(floats, ints.length);
  return words;
}

/** The most workgroups in one direction that every WebGPU device takes. */
const MAX_WORKGROUPS = 65_535;

/** Workgroups for `count` of them in a row, folded into two dimensions; `flat_group` unfolds them. The last ones may be
 * past `count`. */
export function flatGrid(count: number): readonly [number, number, number] {
  const rows = Math.ceil(count / MAX_WORKGROUPS);
  return rows === 0 ? [0, 0, 0] : [Math.ceil(count / rows), rows, 1];
}

/** Declares `fn flat_group(group: vec3<u32>, groups: vec3<u32>) -> u32`: a workgroup's place in the row. */
export const FLAT_GROUP = /* wgsl */ `
fn flat_group(group: vec3<u32>, groups: vec3<u32>) -> u32 { return group.x + group.y * groups.x; }
`;
