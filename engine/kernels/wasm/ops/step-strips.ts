/** Where the keys and values of a step of attention lie: fills the scratch memory's table of strips. f32 pages are used
 * as they are where their layout allows it; everything else is widened into scratch memory first, once for all queries
 * of a unit. */
import type { PagedAttentionArgs } from '../../ops.ts';
import {
  type AttentionScratch,
  STEP_KEYS,
  STRIP,
  STRIP_ENTRY_BYTES,
  STRIP_ROW_BYTES,
} from '../generators/attention-scratch.ts';
import type { Kernel } from '../kernel-module.ts';
import type { LinearMemory } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf, byteAddressOf } from '../wasm-buffer.ts';
import type { AttentionUnit } from './attention-units.ts';
import { type KvPages, kvPages } from './kv-pages.ts';

export class StepStrips {
  /** From one key's values to the next's, in bytes. */
  readonly valueBytes: number;
  readonly #memory: LinearMemory;
  readonly #scratch: AttentionScratch;
  readonly #pages: KvPages;
  readonly #keys: number;
  readonly #values: number;
  /** Index of the first block table's first entry. */
  readonly #tables: number;
  readonly #maxBlocks: number;
  readonly #isInPlace: Readonly<Record<'keys' | 'values', boolean>>;
  readonly #widenStrip: Kernel;
  readonly #widenRows: Kernel;
  readonly #storeLane: Kernel;

  constructor({ memory, kernels }: Machine, args: PagedAttentionArgs, scratch: AttentionScratch) {
    const pages = kvPages(args.keyCache);
    this.#memory = memory;
    this.#scratch = scratch;
    this.#pages = pages;
    this.#keys = byteAddressOf(args.keyCache);
    this.#values = byteAddressOf(args.valueCache);
    this.#tables = addressOf(args.blockTables) / 4;
    this.#maxBlocks = args.blockTables.shape[1]!;
    const keys = pages.dtype === 'f32' && pages.inStrips;
    // Values are read 16 features at a time: other rows would be read beyond their ends.
    const values = keys && pages.headDim % STRIP === 0;
    this.#isInPlace = { keys, values };
    this.valueBytes = values ? pages.rowBytes : scratch.rowBytes;
    this.#widenStrip = kernels[`widen_strip_${pages.dtype}`]!;
    this.#widenRows = kernels[`widen_rows_${pages.dtype}`]!;
    this.#storeLane = kernels.store_lane_f32!;
  }

  /** Makes ready what the unit sees of the step that begins at key `start`. */
  place(unit: AttentionUnit, start: number): void {
    const first = Math.max(unit.firstKey, start);
    const end = Math.min(unit.endKey, start + STEP_KEYS);
    const { ints } = this.#memory;
    const { strips, keys, values, rowBytes } = this.#scratch;
    for (let strip = Math.floor((first - start) / STRIP); start + strip * STRIP < end; strip++) {
      const stripStart = start + strip * STRIP;
      const entry = (strips + strip * STRIP_ENTRY_BYTES) / 4;
      ints[entry] = keys + strip * this.#pages.headDim * STRIP_ROW_BYTES;
      ints[entry + 1] = values + strip * STRIP * rowBytes;
      const [from, to] = [Math.max(first, stripStart), Math.min(end, stripStart + STRIP)];
      if (this.#pages.inStrips) this.#placeStrip(unit, entry, from, to);
      else for (let key = from; key < to; key++) this.#placeKey(unit, entry, key);
    }
  }

  /** Keys `from` to `to` - 1 lie in one strip of one page. */
  #placeStrip(unit: AttentionUnit, entry: number, from: number, to: number): void {
    const { ints } = this.#memory;
    const { headDim, rowBytes, stripBytes } = this.#pages;
    const page = this.#pageOf(unit, from);
    const slot = from % this.#pages.blockSize;
    const strip = this.#keys + page + Math.floor(slot / STRIP) * stripBytes;
    const row = this.#values + page + slot * rowBytes;
    const lane = from % STRIP;
    if (this.#isInPlace.keys) ints[entry] = strip;
    else this.#widenStrip(strip, ints[entry]!, headDim);
    if (this.#isInPlace.values) {
      ints[entry + 1] = row - lane * rowBytes;
      return;
    }
    const target = ints[entry + 1]! + lane * this.valueBytes;
    this.#widenRows(row, target, headDim, to - from, rowBytes, this.valueBytes);
  }

  /** Pages of rows: a key is widened where its values will be, and goes to its lane from there. */
  #placeKey(unit: AttentionUnit, entry: number, key: number): void {
    const { ints } = this.#memory;
    const { headDim, rowBytes, blockSize } = this.#pages;
    const row = this.#pageOf(unit, key) + (key % blockSize) * rowBytes;
    const lane = key % STRIP;
    const target = ints[entry + 1]! + lane * this.valueBytes;
    this.#widenRows(this.#keys + row, target, headDim, 1, rowBytes, this.valueBytes);
    this.#storeLane(target, ints[entry]! + 4 * lane, headDim);
    this.#widenRows(this.#values + row, target, headDim, 1, rowBytes, this.valueBytes);
  }

  /** Bytes from the cache's start to the head's part of the page that holds a key. */
  #pageOf({ sequence, kvHead }: AttentionUnit, key: number): number {
    const { blockSize, blockBytes, headBytes } = this.#pages;
    const page = sequence * this.#maxBlocks + Math.floor(key / blockSize);
    return this.#memory.ints[this.#tables + page]! * blockBytes + kvHead * headBytes;
  }
}
