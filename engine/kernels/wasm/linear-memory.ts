/** One shared WebAssembly memory, and typed arrays over all of it.
 *
 *   0      64 KiB            136 MiB + 64 KiB     144 MiB + 64 KiB   152 MiB + 64 KiB                        at most 4 GiB
 *   | void | threads' own    | packed activations | attention states | heap: weights, KV, activations, inputs ... |
 *
 * But for a few words at its end, the void is never used, so that an address of 0 is a mistake that shows. Pages cost memory only
 * once they are written to, so the fixed areas cost what is used of them. Addresses are JavaScript numbers below 2^32; kernels
 * take them as i32, whose wrap-around gives the same bits. */
import { OutOfMemoryError } from '../../errors.ts';
import { HostBuffer } from '../reference/host-memory.ts';
import { MAX_PAGES, PAGE_BYTES } from './emitter/module-builder.ts';
import { type WasmMemory, WebAssemblyApi } from './web-assembly.ts';

/** Threads that can run parts of ops at the same time. */
export const MAX_THREADS = 256;
const THREAD_BYTES = 544 * 1024;
/** Of a thread's memory the first part is for whatever one op needs, */
export const THREAD_SCRATCH_BYTES = 488 * 1024;
/** the second for a result that is so small that each thread computes it for itself, */
export const THREAD_ROWS_BYTES = 32 * 1024;
/** and the rest for packed activations that are so few that each thread packs them for itself. */
export const THREAD_ACTIVATION_BYTES = THREAD_BYTES - THREAD_SCRATCH_BYTES - THREAD_ROWS_BYTES;
/** A step's 256 tokens with rows of 8192, packed for Q8_0, are 4.3 MiB: they should not be 240 tokens and then 16. */
export const ACTIVATION_AREA_BYTES = 8 * 1024 * 1024;
/** For what queries have met of sections of their past, where threads divide those (ops/attention-states.ts). */
export const STATE_AREA_BYTES = 8 * 1024 * 1024;

/** Ops that threads run between two meetings at most, */
export const MAX_JOINED = 8;
/** and for each of them the word by which threads divide its work (ops/group-shares.ts), in a cache line of their own. */
export const TICKETS_ADDRESS = PAGE_BYTES - 64;
const THREAD_SCRATCH_START = PAGE_BYTES;
export const ACTIVATION_AREA_START = THREAD_SCRATCH_START + MAX_THREADS * THREAD_BYTES;
export const STATE_AREA_START = ACTIVATION_AREA_START + ACTIVATION_AREA_BYTES;
export const HEAP_START = STATE_AREA_START + STATE_AREA_BYTES;

export class LinearMemory {
  readonly memory: WasmMemory;
  /** What it may grow to; of another thread's memory, what any may. */
  readonly maxByteLength: number;
  #bytes!: Uint8Array<SharedArrayBuffer>;
  #floats!: Float32Array<SharedArrayBuffer>;
  #ints!: Int32Array<SharedArrayBuffer>;
  #host!: HostBuffer;

  /** @param memory  another thread's memory, to share it */
  constructor(memory?: WasmMemory) {
    const { memory: made, maxPages } = memory === undefined ? newMemory() : { memory, maxPages: MAX_PAGES };
    this.memory = made;
    // An end of 2^32 would not fit into 32 bits.
    this.maxByteLength = (maxPages < MAX_PAGES ? maxPages : MAX_PAGES - 1) * PAGE_BYTES;
    this.#refresh();
  }

  get bytes(): Uint8Array<SharedArrayBuffer> {
    return this.#bytes;
  }

  /** Element i is at address 4i. */
  get floats(): Float32Array<SharedArrayBuffer> {
    return this.#floats;
  }

  /** Element i is at address 4i. */
  get ints(): Int32Array<SharedArrayBuffer> {
    return this.#ints;
  }

  /** The whole memory as the reference ops see memory: a tensor in it has its address for an offset. */
  get host(): HostBuffer {
    return this.#host;
  }

  /** Makes addresses up to `end` usable.
   * @throws OutOfMemoryError */
  reserve(end: number, what: string): void {
    const missing = end - this.#bytes.byteLength;
    if (missing <= 0) return;
    try {
      this.memory.grow(Math.ceil(missing / PAGE_BYTES));
    } catch (cause) {
      throw new OutOfMemoryError(what, missing, 'use a smaller model or quantization, or fewer KV blocks', { cause });
    }
    this.#refresh();
  }

  /** Another thread may have grown the memory: kernels see that by themselves, typed arrays do not. */
  expectGrowth(): void {
    if (this.memory.buffer.byteLength !== this.#bytes.byteLength) this.#refresh();
  }

  #refresh(): void {
    const { buffer } = this.memory;
    this.#bytes = new Uint8Array(buffer);
    this.#floats = new Float32Array(buffer);
    this.#ints = new Int32Array(buffer);
    this.#host = new HostBuffer(buffer);
  }
}

/** Where a thread's own scratch memory starts: `THREAD_SCRATCH_BYTES` for the part's private use within one op. */
export function threadScratch(part: number): number {
  return THREAD_SCRATCH_START + (part % MAX_THREADS) * THREAD_BYTES;
}

/** Where a thread's own copy of a small result starts: `THREAD_ROWS_BYTES`. */
export function threadRows(part: number): number {
  return threadScratch(part) + THREAD_SCRATCH_BYTES;
}

/** Where a thread's own packed activations start: `THREAD_ACTIVATION_BYTES`. */
export function threadActivations(part: number): number {
  return threadRows(part) + THREAD_ROWS_BYTES;
}

/** Reserves addresses for 4 GiB, or for less where the process may not have so many. */
function newMemory(): { readonly memory: WasmMemory; readonly maxPages: number } {
  const initial = HEAP_START / PAGE_BYTES;
  for (let maximum = MAX_PAGES; ; maximum /= 2) {
    try {
      return { memory: new WebAssemblyApi.Memory({ initial, maximum, shared: true }), maxPages: maximum };
    } catch (cause) {
      if (maximum / 2 >= initial) continue;
      const advice = 'the process has too little address space left (close other engines, or raise its limit)';
      throw new OutOfMemoryError('a WebAssembly memory', initial * PAGE_BYTES, advice, { cause });
    }
  }
}
