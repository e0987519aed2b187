/** The wasm backend on a worker thread: the posted module over the posted memories, and ops that do one part each. */
import { InvalidArgumentError } from '../../errors.ts';
import type { BufferHandle, Tensor } from '../../tensor/tensor.ts';
import { checkArgs } from '../check-args.ts';
import type { KernelOps } from '../kernel-backend.ts';
import type { OpArgs, OpName } from '../ops.ts';
import type { Gate, Part } from '../part.ts';
import { MAX_JOINED, MAX_THREADS } from './linear-memory.ts';
import { type Machine, newMachine } from './machine.ts';
import { holderOf, runInPlace } from './mirrors.ts';
import { OP_NAMES } from './ops/index.ts';
import type { Share } from './ops/native-op.ts';
import { PackedActivations } from './ops/packed-activations.ts';
import { packedFormat } from './packing/format-registry.ts';
import { type PackJob, packRows } from './packing/pack-rows.ts';
import { addressOf, WasmBuffer } from './wasm-buffer.ts';
import type { WasmMemory, WasmModule } from './web-assembly.ts';

/** Survives a message: the module stays compiled, memories stay shared. */
export interface WasmAttachment {
  readonly module: WasmModule;
  readonly memories: readonly WasmMemory[];
  readonly revectorized: boolean;
}

/** A thread's machines, one per memory; make them once per thread and keep them. */
export function attachWasm({ module, memories, revectorized }: WasmAttachment): readonly Machine[] {
  return memories.map((memory) => newMachine(module, revectorized, memory));
}

/** What a worker does for `loadWeight`. */
export function runWasmJob(machines: readonly Machine[], job: PackJob): number {
  return packRows(machines[job.memory]!, job);
}

/** The values of an f32 tensor, which is not packed, in place. */
export function viewOf(machines: readonly Machine[], tensor: Tensor): Float32Array {
  for (const { memory } of machines) memory.expectGrowth();
  const { memory } = machines[holderOf(machines, tensor.buffer as WasmBuffer)]!;
  const start = addressOf(tensor) / 4;
  return memory.floats.subarray(start, start + tensor.numElements);
}

/** @param gate  where threads meet: the next op, or phase of one, reads what the others wrote
 * @param areArgsKnown  tensors of the same shapes have been checked before */
export function wasmPartOps(machines: readonly Machine[], part: Part, gate: Gate, areArgsKnown = false): KernelOps {
  if (part.count > MAX_THREADS) {
    throw new InvalidArgumentError('part.count', `at most ${MAX_THREADS} threads, got ${part.count}`);
  }
  for (const { memory } of machines) memory.expectGrowth();
  const packed = new PackedActivations();
  let numJoined = 0;
  let isTogether = false;
  const share: Share = {
    part,
    meet: () => gate.wait(),
    get generation() {
      return gate.generation;
    },
    get numJoined() {
      return numJoined;
    },
    packed,
  };
  const meetAll = (): void => {
    numJoined = 0;
    packed.forget();
    gate.wait();
  };
  const run = <Name extends OpName>(op: Name, args: OpArgs[Name]): void => {
    if (!areArgsKnown) checkArgs(op, args);
    runInPlace(machines, op, args, share);
    numJoined++;
    if (!isTogether || numJoined === MAX_JOINED) meetAll();
  };
  const ops = Object.fromEntries(OP_NAMES.map((op) => [op, (args: never) => run(op, args)]));
  const together = (independentOps: () => void): void => {
    isTogether = true;
    independentOps();
    isTogether = false;
    if (numJoined > 0) meetAll();
  };
  return { ...ops, together } as unknown as KernelOps;
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
