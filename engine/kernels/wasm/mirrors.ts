/** Scratch tensors where there are several memories. Each memory has such a tensor at the same address; an op writes the
 * one in the memory it runs in, and a later op in another memory first brings the contents over. While a step goes
 * through the layers, that happens once per boundary between memories: to the residual stream.
 *
 *   memory 0    embed, layers 0 to 10 --> hidden [T, H]
 *                                            | copied by all threads, each its part
 *   memory 1                              hidden [T, H] --> layers 11 to 20
 *
 * Who has the contents is written in a word before the buffer in memory 0, which all threads see:
 *
 *   0        all memories alike (as after an upload)
 *   m + 1    memory m
 *
 * A word stands for a whole buffer: whoever writes a part of one in another memory than the last time leaves the rest
 * undefined. No op of a step does; steps begin from inputs that were uploaded.
 *
 * Nobody reads a word while another thread changes it. Words are read as an op begins, and change (1) as it ends: then
 * the word is of an output, which other threads still in the op do not read, unless the output is also an input, which
 * is in this memory already and keeps its word; (2) after bringing, when all threads have met, so have read. */
import { InvalidArgumentError } from '../../errors.ts';
import { Tensor } from '../../tensor/tensor.ts';
import type { OpArgs, OpName } from '../ops.ts';
import { partEnd, partStart } from '../part.ts';
import { ALIGNMENT } from './allocator.ts';
import type { Machine } from './machine.ts';
import { prepareOp } from './ops/index.ts';
import type { PreparedOp, Share } from './ops/native-op.ts';
import { MIRRORED, type WasmBuffer } from './wasm-buffer.ts';
import { writtenArgs } from './written-args.ts';

/** Before each mirrored buffer, so that buffers keep their alignment. */
export const MIRROR_HEADER_BYTES = ALIGNMENT;

/** An op that runs in the memory of its tensors, wherever the contents of its scratch tensors are by then. */
export function prepareInPlace<Name extends OpName>(
  machines: readonly Machine[],
  op: Name,
  args: OpArgs[Name],
): PreparedOp {
  if (machines.length === 1) return prepareOp(machines[0]!, op, args);
  const tensors = Object.entries(args).filter(
    (entry): entry is [string, Tensor<WasmBuffer>] => entry[1] instanceof Tensor,
  );
  const inputs = tensors.filter(([name]) => name !== 'out').map(([, tensor]) => tensor);
  // KV pages are never mirrored.
  const written = tensors
    .filter(([name, { buffer }]) => writtenArgs(op).includes(name) && buffer.memory === MIRRORED)
    .map(([, tensor]) => tensor.buffer);
  return (share) => {
    const home = homeOf(machines, op, inputs);
    bring(machines, home, inputs, share);
    prepareOp(machines[home]!, op, args)(share);
    for (const buffer of written) setHolder(machines, buffer, home);
  };
}

/** The memory that holds a tensor's contents. */
export function holderOf(machines: readonly Machine[], { memory, address }: WasmBuffer): number {
  if (memory !== MIRRORED) return memory;
  return Math.max(0, wordOf(machines, address) - 1);
}

/** All memories hold the same contents. */
export function setHeldByAll(machines: readonly Machine[], { address }: WasmBuffer): void {
  machines[0]!.memory.ints[headerIndex(address)] = 0;
}

/** Where an op on these inputs runs: where its weights or pages lie, else where the first scratch tensor was written. */
function homeOf(machines: readonly Machine[], op: string, inputs: readonly Tensor<WasmBuffer>[]): number {
  let home = MIRRORED;
  for (const tensor of inputs) {
    const { memory } = tensor.buffer;
    if (memory === MIRRORED || memory === home) continue;
    if (home !== MIRRORED) {
      throw new InvalidArgumentError(op, `${tensor} lies in memory ${memory}, and another argument in memory ${home}`);
    }
    home = memory;
  }
  if (home !== MIRRORED) return home;
  for (const { buffer } of inputs) {
    const word = wordOf(machines, buffer.address);
    if (word > 0) return word - 1;
  }
  return 0;
}

function bring(machines: readonly Machine[], home: number, inputs: readonly Tensor<WasmBuffer>[], share: Share): void {
  const missing = inputs.filter(({ buffer }) => {
    const word = buffer.memory === MIRRORED ? wordOf(machines, buffer.address) : 0;
    return word !== 0 && word !== home + 1;
  });
  if (missing.length === 0) return;
  for (const tensor of missing) copyPart(machines, tensor, home, share);
  share.meet();
  for (const { buffer } of missing) setHolder(machines, buffer, home);
}

/** Whole cache lines, so that no two threads write to one. */
function copyPart(machines: readonly Machine[], tensor: Tensor<WasmBuffer>, home: number, { part }: Share): void {
  const { buffer, byteOffset, byteLength } = tensor;
  const first = Math.floor(byteOffset / ALIGNMENT);
  const numLines = Math.ceil((byteOffset + byteLength) / ALIGNMENT) - first;
  const start = buffer.address + (first + partStart(numLines, part)) * ALIGNMENT;
  const end = buffer.address + Math.min((first + partEnd(numLines, part)) * ALIGNMENT, buffer.byteLength);
  const source = machines[holderOf(machines, buffer)]!.memory.bytes;
  if (end > start) machines[home]!.memory.bytes.set(source.subarray(start, end), start);
}

function setHolder(machines: readonly Machine[], { address }: WasmBuffer, memory: number): void {
  machines[0]!.memory.ints[headerIndex(address)] = memory + 1;
}

const headerIndex = (address: number): number => (address - MIRROR_HEADER_BYTES) / 4;

function wordOf(machines: readonly Machine[], address: number): number {
  return machines[0]!.memory.ints[headerIndex(address)]!;
}
