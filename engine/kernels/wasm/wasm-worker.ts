/** The wasm backend on a worker thread: the posted module over the posted memory, and ops that do one part each. */
import { InvalidArgumentError } from '../../errors.ts';
import type { BufferHandle } from '../../tensor/tensor.ts';
import { checkArgs } from '../check-args.ts';
import type { KernelOps } from '../kernel-backend.ts';
import type { OpArgs, OpName } from '../ops.ts';
import type { Part } from '../part.ts';
import { MAX_THREADS } from './linear-memory.ts';
import { type Machine, newMachine } from './machine.ts';
import { OP_NAMES, runOp } from './ops/index.ts';
import { packedFormat } from './packing/packed-format.ts';
import { WasmBuffer } from './wasm-buffer.ts';
import type { WasmMemory, WasmModule } from './web-assembly.ts';

/** Survives a message: the module stays compiled, the memory stays shared. */
export interface WasmAttachment {
  readonly module: WasmModule;
  readonly memory: WasmMemory;
  readonly revectorized: boolean;
}

/** A thread's machine; make one per thread and keep it. */
export function attachWasm({ module, memory, revectorized }: WasmAttachment): Machine {
  return newMachine(module, revectorized, memory);
}

/** @param meet  returns when every thread has called it: the next op, or phase of one, reads what the others wrote */
export function wasmPartOps(machine: Machine, part: Part, meet: () => void): KernelOps {
  if (part.count > MAX_THREADS) {
    throw new InvalidArgumentError('part.count', `at most ${MAX_THREADS} threads, got ${part.count}`);
  }
  const share = { part, meet };
  const run = <Name extends OpName>(op: Name, args: OpArgs[Name]): void => {
    checkArgs(op, args);
    runOp(machine, op, args, share);
    meet();
  };
  return Object.fromEntries(OP_NAMES.map((op) => [op, (args: never) => run(op, args)])) as unknown as KernelOps;
}

/** A buffer as plain numbers, and back. Same interface as `hostBufferCodec`. */
export const wasmBufferCodec = {
  encode(buffer: BufferHandle): unknown {
    const { address, byteLength, packing } = buffer as WasmBuffer;
    if (packing === undefined) return { address, byteLength };
    const { format, numRows, rowLength } = packing;
    return { address, byteLength, packing: { dtype: format.dtype, numRows, rowLength } };
  },
  decode(encoded: unknown): BufferHandle {
    const { address, byteLength, packing } = encoded as EncodedBuffer;
    if (packing === undefined) return new WasmBuffer(address, byteLength);
    const { dtype, numRows, rowLength } = packing;
    return new WasmBuffer(address, byteLength, { format: packedFormat(dtype)!, numRows, rowLength });
  },
};

interface EncodedBuffer {
  readonly address: number;
  readonly byteLength: number;
  readonly packing?: { readonly dtype: string; readonly numRows: number; readonly rowLength: number };
}
