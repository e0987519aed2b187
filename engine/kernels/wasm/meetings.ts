/** Where threads that run the same ops have to meet. Each does a part of an op and goes on to the next, unless that reads what
 * another thread may not have written yet, or overwrites what another may still read:
 *
 *   rmsNorm  normed         |        matmul   query              both read normed, and write different things: no meeting
 *   matmul   reads normed   v meet   matmul   key
 *
 * Two ops that cut a tensor into the same parts need not meet over it: each thread goes on with what it made itself. And a
 * result that every thread has made for itself (ops/own-rows.ts) can be read at once. */
import { Tensor } from '../../tensor/tensor.ts';
import type { OpArgs, OpName } from '../ops.ts';
import { nativeOp } from './ops/index.ts';
import type { WasmBuffer } from './wasm-buffer.ts';
import { writtenArgs } from './written-args.ts';

/** Bytes that an op uses, all of one tensor's. */
interface Use {
  readonly memory: number;
  readonly start: number;
  readonly end: number;
  /** Equal runs that the tensor is cut into, of which a part is a range; 0 where it is cut otherwise or not at all. */
  readonly numUnits: number;
  /** Written: each thread has all of it in its own memory. Read: is taken from there. */
  readonly isOwn: boolean;
}

interface Uses {
  readonly reads: readonly Use[];
  readonly writes: readonly Use[];
}

export class Meetings {
  readonly #hasOneMemory: boolean;
  #reads: readonly Use[] = [];
  #writes: readonly Use[] = [];

  /** @param hasOneMemory  otherwise results may have to be brought from one memory to another, which is done by other parts */
  constructor(hasOneMemory: boolean) {
    this.#hasOneMemory = hasOneMemory;
  }

  /** Whether threads must meet before the op. */
  areDue<Name extends OpName>(op: Name, args: OpArgs[Name]): boolean {
    const { reads, writes } = this.#usesOf(op, args);
    const collides = (use: Use, earlier: readonly Use[]): boolean => earlier.some((other) => areInTheWay(other, use));
    return (
      reads.some((use) => collides(use, this.#writes)) ||
      writes.some((use) => collides(use, this.#writes) || collides(use, this.#reads))
    );
  }

  /** Threads go on to the op. */
  note<Name extends OpName>(op: Name, args: OpArgs[Name]): void {
    const { reads, writes } = this.#usesOf(op, args);
    this.#reads = [...this.#reads, ...reads];
    // There is room for one result in a thread's own memory.
    const isKept = writes.some(({ isOwn }) => isOwn);
    const earlier = isKept ? this.#writes.map((use) => ({ ...use, isOwn: false })) : this.#writes;
    this.#writes = [...earlier, ...writes];
  }

  /** Threads have met. */
  clear(): void {
    this.#reads = [];
    this.#writes = [];
  }

  #usesOf<Name extends OpName>(op: Name, args: OpArgs[Name]): Uses {
    const native = this.#hasOneMemory ? nativeOp(op, args) : undefined;
    const written = writtenArgs(op);
    const [reads, writes]: [Use[], Use[]] = [[], []];
    for (const [name, value] of Object.entries(args)) {
      if (!(value instanceof Tensor)) continue;
      const isWritten = written.includes(name);
      const isOwn = isWritten ? native?.keepsOwn?.(args) : native?.readsOwn === name;
      const numUnits = value.shape.length === 3 ? native?.unitsOf?.(args) : undefined;
      const use = { ...bytesOf(value), numUnits: numUnits ?? 0, isOwn: isOwn ?? false };
      if (isWritten) writes.push(use);
      else reads.push(use);
    }
    return { reads, writes };
  }
}

function areInTheWay(earlier: Use, later: Use): boolean {
  if (earlier.memory !== later.memory || earlier.start >= later.end || later.start >= earlier.end) return false;
  // A thread finds its own rows by the address of the first.
  if (earlier.isOwn && later.isOwn && earlier.start === later.start && later.end <= earlier.end) return false;
  const isSame = earlier.start === later.start && earlier.end === later.end;
  return !(isSame && earlier.numUnits > 0 && earlier.numUnits === later.numUnits);
}

function bytesOf({ buffer, byteOffset, byteLength }: Tensor): Pick<Use, 'memory' | 'start' | 'end'> {
  const { memory, address, packing, ...whole } = buffer as WasmBuffer;
  if (packing !== undefined) return { memory, start: address, end: address + whole.byteLength };
  return { memory, start: address + byteOffset, end: address + byteOffset + byteLength };
}
