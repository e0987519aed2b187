/** The wasm backend on a worker thread: the posted kernels over the posted memories, and ops that do one part each. */
import { InvalidArgumentError } from '../../errors.ts';
import type { BufferHandle, Tensor } from '../../tensor/tensor.ts';
import type { KernelOps } from '../kernel-backend.ts';
import type { PartOfThreads } from '../part.ts';
import { TapeShelf } from '../tape-shelf.ts';
import type { CompiledKernels } from './kernel-module.ts';
import { MAX_THREADS } from './linear-memory.ts';
import { Machine } from './machine.ts';
import { holderOf } from './mirrors.ts';
import { putTicketsBack } from './ops/tickets.ts';
import { packedFormat } from './packing/format-registry.ts';
import { type PackJob, packRows } from './packing/pack-rows.ts';
import { type PartTape, play, record } from './part-tape.ts';
import { PartThread } from './part-thread.ts';
import { addressOf, WasmBuffer } from './wasm-buffer.ts';
import type { WasmMemory } from './web-assembly.ts';

/** Survives a message: kernels stay compiled, memories stay shared. */
export interface WasmAttachment {
  readonly compiled: CompiledKernels;
  readonly memories: readonly WasmMemory[];
}

/** A thread's machines, one per memory; make them once per thread and keep them. */
export function attachWasm({ compiled, memories }: WasmAttachment): readonly Machine[] {
  return memories.map((memory) => new Machine(compiled, memory));
}

/** What a worker does for `loadWeight`. */
export function runWasmJob(machines: readonly Machine[], job: PackJob): number {
  const machine = machines[job.memory]!;
  machine.expectKernels([`weights ${job.dtype}`]);
  return packRows(machine, job);
}

/** The values of an f32 tensor, which is not packed, in place. */
export function viewOf(machines: readonly Machine[], tensor: Tensor): Float32Array {
  for (const { memory } of machines) memory.expectGrowth();
  const { memory } = machines[holderOf(machines, tensor.buffer as WasmBuffer)]!;
  const start = addressOf(tensor) / 4;
  return memory.floats.subarray(start, start + tensor.numElements);
}

/** Runs ops as one of several threads. See `WorkerBackend.repeat`. */
export class WasmParts {
  readonly #machines: readonly Machine[];
  readonly #tapes = new TapeShelf<PartTape>();

  constructor(machines: readonly Machine[]) {
    this.#machines = machines;
  }

  repeat(program: object, size: string, { part, gate }: PartOfThreads, ops: (ops: KernelOps) => void): void {
    if (part.count > MAX_THREADS) {
      throw new InvalidArgumentError('part.count', `at most ${MAX_THREADS} threads, got ${part.count}`);
    }
    for (const { memory } of this.#machines) memory.expectGrowth();
    const thread = new PartThread(part, gate);
    const tape = this.#tapes.find(program, size);
    if (tape === undefined) this.#tapes.put(program, size, record(this.#machines, thread, ops));
    else play(tape, thread);
    // All threads have met in the end, and the next step waits for part 0.
    if (part.index === 0) for (const { memory } of this.#machines) putTicketsBack(memory);
  }
}

/** A buffer as plain numbers, and back. Same interface as `hostBufferCodec`. */
export const wasmBufferCodec = {
  encode(buffer: BufferHandle): unknown {
    const { memory, address, byteLength, packing } = buffer as WasmBuffer;
    if (packing === undefined) return { memory, address, byteLength };
    const { format, numRows, rowLength } = packing;
    return { memory, address, byteLength, packing: { dtype: format.dtype, numRows, rowLength } };
  },
  decode(encoded: unknown): BufferHandle {
    const { packing, ...place } = encoded as EncodedBuffer;
    if (packing === undefined) return new WasmBuffer(place);
    const { dtype, numRows, rowLength } = packing;
    return new WasmBuffer({ ...place, packing: { format: packedFormat(dtype)!, numRows, rowLength } });
  },
};

interface EncodedBuffer {
  readonly memory: number;
  readonly address: number;
  readonly byteLength: number;
  readonly packing?: { readonly dtype: string; readonly numRows: number; readonly rowLength: number };
}
