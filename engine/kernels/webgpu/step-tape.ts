/** A recording that can be played again. Decoding asks for the same ops on the same tensors token after token: what differs
 * is what lies in the tensors. So a step's dispatches are kept as the pass takes them, and the next step of that size
 * encodes them without asking the ops.
 *
 *   ops              check arguments, look at integers, choose kernels, bind buffers, pack params    some 3 us a dispatch
 *   encoding         setPipeline, setBindGroup, dispatchWorkgroups                                   some 2 us
 *
 * Integers are the one thing in tensors that ops look at: to refuse bad indices, and to see how much there is to do. Each
 * look is kept too, and is taken again before the tape is played. */
import type { CompiledKernel } from './pipeline-cache.ts';

export interface TapedDispatch {
  readonly kernel: CompiledKernel;
  readonly bindGroup: GPUBindGroup;
  /** Where its params begin among the recording's, in bytes; -1 where it has none. */
  readonly paramsAt: number;
  readonly workgroups: readonly [number, number, number];
}

/** What a look found, as far as dispatches depend on it. */
export type Finding = readonly number[];

export class StepTape {
  readonly dispatches: TapedDispatch[] = [];
  readonly #looks: (() => Finding)[] = [];
  readonly #findings: Finding[] = [];
  /** Of all dispatches; there once the recording is over. */
  params = new Uint32Array(0);

  addLook(look: () => Finding, finding: Finding): void {
    this.#looks.push(look);
    this.#findings.push(finding);
  }

  /** Looks again at what the host decided by.
   * @returns whether it would decide the same
   * @throws InvalidArgumentError for an index that leads nowhere */
  stillHolds(): boolean {
    return this.#looks.every((look, i) => areEqual(look(), this.#findings[i]!));
  }
}

function areEqual(some: Finding, others: Finding): boolean {
  return some.length === others.length && some.every((number, i) => number === others[i]);
}
