/** The reference ops as one of several threads runs them: its part of each op, then whatever makes the threads meet. */

import type { BufferHandle } from '../../tensor/tensor.ts';
import { checkArgs } from '../check-args.ts';
import type { KernelOps } from '../kernel-backend.ts';
import type { OpArgs, OpName } from '../ops.ts';
import type { Gate, Part } from '../part.ts';
import { HostBuffer } from './host-memory.ts';
import { REFERENCE_OPS } from './reference-ops.ts';

/** @param gate  where threads meet: the next op reads what the others wrote */
export function referencePartOps(part: Part, gate: Gate): KernelOps {
  const run = <Name extends OpName>(op: Name, args: OpArgs[Name]): void => {
    checkArgs(op, args);
    REFERENCE_OPS[op](args, part);
    gate.wait();
  };
  const names = Object.keys(REFERENCE_OPS) as OpName[];
  return Object.fromEntries(names.map((op) => [op, (args: never) => run(op, args)])) as unknown as KernelOps;
}

/** A buffer as its shared memory, which a message to a worker keeps shared, and back. */
export const hostBufferCodec = {
  encode: (buffer: BufferHandle): SharedArrayBuffer => (buffer as HostBuffer).bytes.buffer as SharedArrayBuffer,
  decode: (encoded: unknown): BufferHandle => new HostBuffer(encoded as SharedArrayBuffer),
};
