/** All memory of the wasm backend: one WebAssembly memory, or several when a model is larger than one can be. A kernel
 * sees one memory only, so tensors that meet in an op must be in it together.
 *
 *   memory 0   | void, threads' areas | scratch | units 0 to 10  |
 *   memory 1   | void, threads' areas | scratch | units 11 to 20 |      units: weights and KV pages (memory-outline.ts)
 *                                         ^
 *                        at the same addresses in each: see mirrors.ts
 *
 * With one memory there is no scratch area of its own, and nothing of this costs anything. */
import { InvalidArgumentError, OutOfMemoryError } from '../../errors.ts';
import type { DType } from '../../tensor/dtype.ts';
import { isFloatDType } from '../../tensor/dtype.ts';
import type { Shape } from '../../tensor/shape.ts';
import { byteLengthOf } from '../../tensor/storage.ts';
import type { MemoryOutline, TensorOutline } from '../memory-outline.ts';
import { Allocator, alignedLength } from './allocator.ts';
import { arrangeUnits } from './arrange-units.ts';
import { HEAP_START } from './linear-memory.ts';
import type { Machine } from './machine.ts';
import { MIRROR_HEADER_BYTES } from './mirrors.ts';
import { packingBytes, packingFor } from './packing/choose-packing.ts';
import { stagingBytes } from './packing/staging.ts';
import { noteBytesOf } from './specials-note.ts';
import { MIRRORED, type Packing, WasmBuffer } from './wasm-buffer.ts';

/** Where a buffer goes: with its unit's others, or where ops of any unit reach it. */
export type Place = { readonly unit: number } | { readonly memory: number } | 'anywhere';

export interface Piece {
  /** For messages. */
  readonly what: string;
  readonly packing?: Packing | undefined;
  /** Behind the buffer, and zero too. */
  readonly noteBytes?: number;
}

const ADVICE = 'use a smaller model or quantization, or fewer KV blocks';

export class MemoryPool {
  readonly #newMachine: () => Machine;
  readonly #maxHeapBytes: number;
  readonly #machines: Machine[];
  readonly #heaps: Allocator[];
  /** Of addresses that mean the same tensor in every memory. */
  #mirrors: Allocator | undefined;
  #memoryOf: readonly number[] = [];
  #numBuffers = 0;

  /** @param maxHeapBytes  that one memory may hold, its fixed areas aside
   * @throws OutOfMemoryError when no memory can be had at all */
  constructor(newMachine: () => Machine, maxHeapBytes = Number.POSITIVE_INFINITY) {
    this.#newMachine = newMachine;
    this.#machines = [newMachine()];
    const { maxByteLength } = this.#machines[0]!.memory;
    this.#maxHeapBytes = Math.min(maxByteLength - HEAP_START, alignedLength(maxHeapBytes));
    this.#heaps = [this.#newHeap(0)];
  }

  /** One for each memory. */
  get machines(): readonly Machine[] {
    return this.#machines;
  }

  /** Decides where the units of a model go, and makes the memories for them. A model that comes to memory already in
   * use shares it.
   * @throws OutOfMemoryError when a unit fits into no memory, or not so many memories can be had */
  arrange({ units, scratch }: MemoryOutline): void {
    if (this.#numBuffers > 0) {
      if (this.#machines.length > 1) throw new InvalidArgumentError('arrange', 'must come before the first allocation');
      return;
    }
    const unitBytes = units.map(({ weights, kv }) => sum(weights.map(weightBytes)) + sum(kv.map(plainBytes)));
    const staging = stagingBytes(units.flatMap(({ weights }) => weights));
    const scratchBytes = sum(scratch.map(plainBytes));
    if (sum(unitBytes) + scratchBytes + staging <= this.#maxHeapBytes) return;
    const mirrorBytes = scratchBytes + scratch.length * MIRROR_HEADER_BYTES;
    const capacity = this.#maxHeapBytes - mirrorBytes - staging;
    const memoryOf = arrangeUnits(unitBytes, capacity);
    if ('unit' in memoryOf) {
      const rule = `one WebAssembly memory holds ${Math.max(0, capacity)} bytes beside ${scratchBytes} of activations`;
      throw new OutOfMemoryError(
        `${units[memoryOf.unit]!.name} of the model`,
        memoryOf.byteLength,
        `${rule}; ${ADVICE}`,
      );
    }
    this.#split(memoryOf, mirrorBytes);
  }

  #split(memoryOf: readonly number[], mirrorBytes: number): void {
    const count = Math.max(...memoryOf) + 1;
    while (this.#machines.length < count) this.#machines.push(this.#newMachine());
    for (const { memory } of this.#machines) memory.reserve(HEAP_START + mirrorBytes, 'activations');
    this.#heaps.splice(0, 1, ...this.#machines.map(() => this.#newHeap(mirrorBytes)));
    this.#mirrors = new Allocator(HEAP_START, HEAP_START + mirrorBytes);
    this.#memoryOf = memoryOf;
  }

  #newHeap(mirrorBytes: number): Allocator {
    return new Allocator(HEAP_START + mirrorBytes, HEAP_START + this.#maxHeapBytes);
  }

  /** Zero-filled memory.
   * @throws OutOfMemoryError */
  allocate(byteLength: number, place: Place, { what, packing, noteBytes = 0 }: Piece): WasmBuffer {
    const isMirrored = place === 'anywhere' && this.#mirrors !== undefined;
    const memory = isMirrored ? MIRRORED : this.#memoryFor(place);
    const header = isMirrored ? MIRROR_HEADER_BYTES : 0;
    const allocator = isMirrored ? this.#mirrors! : this.#heaps[memory]!;
    const length = header + byteLength + noteBytes;
    const oldEnd = allocator.end;
    const start = allocator.allocate(length);
    if (start === undefined) throw new OutOfMemoryError(what, byteLength, this.#whyFull(memory));
    try {
      for (const { memory: linear } of isMirrored ? this.#machines : [this.#machines[memory]!]) {
        linear.reserve(allocator.end, what);
        // Pages that were never handed out are zero as they come, and must not be touched before they are needed.
        if (start < oldEnd) linear.bytes.fill(0, start, Math.min(start + length, oldEnd));
      }
    } catch (error) {
      allocator.free(start);
      throw error;
    }
    this.#numBuffers++;
    return new WasmBuffer({ memory, address: start + header, byteLength, packing });
  }

  release({ memory, address }: WasmBuffer): void {
    if (memory === MIRRORED) this.#mirrors!.free(address - MIRROR_HEADER_BYTES);
    else this.#heaps[memory]!.free(address);
    this.#numBuffers--;
  }

  #memoryFor(place: Place): number {
    if (place === 'anywhere') return 0;
    return 'memory' in place ? place.memory : (this.#memoryOf[place.unit] ?? 0);
  }

  #whyFull(memory: number): string {
    if (this.#machines.length === 1) return `one WebAssembly memory holds ${this.#maxHeapBytes} bytes; ${ADVICE}`;
    const which = memory === MIRRORED ? 'the area for activations' : `memory ${memory} of ${this.#machines.length}`;
    return `${which} was made for what the model was said to need, and is full`;
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function plainBytes({ dtype, shape }: { readonly dtype: DType; readonly shape: Shape }): number {
  return alignedLength(byteLengthOf(dtype, shape) + noteBytesOf(dtype));
}

function weightBytes(outline: TensorOutline): number {
  const { dtype, shape } = outline;
  const packing = isFloatDType(dtype) ? packingFor(dtype, shape) : undefined;
  return packing === undefined ? plainBytes(outline) : alignedLength(packingBytes(packing));
}
