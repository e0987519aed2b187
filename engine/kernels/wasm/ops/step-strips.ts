/** Where the keys and values of a step of attention lie: fills the scratch memory's table of strips. f32 pages are used
 * as they are where their layout allows it; everything else is widened into scratch memory first, once for all queries
 * of a unit. */
import type { PagedAttentionArgs } from '../../ops.ts';
import { type AttentionScratch, STRIP, STRIP_ENTRY_BYTES, STRIP_ROW_BYTES } from '../generators/attention-scratch.ts';
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

  /** Makes keys `from` to `to` - 1 ready for the unit's queries: absolute positions, within the step that begins at `start`. */
  placeKeys(unit: AttentionUnit, start: number, from: number, to: number): void {
    const { ints } = this.#memory;
    for (let key = from; key < to; key = nextStrip(key)) {
      const strip = Math.floor((key - start) / STRIP);
      const entry = this.#entryOf(strip);
      const own = this.#scratch.keys + strip * this.#pages.headDim * STRIP_ROW_BYTES;
      ints[entry] = own;
      if (this.#pages.inStrips) this.#placeStrip(unit, entry, key);
      else for (let each = key; each < Math.min(to, nextStrip(key)); each++) this.#placeKey(unit, own, each);
    }
  }

  /** Likewise values. */
  placeValues(unit: AttentionUnit, start: number, from: number, to: number): void {
    const { ints } = this.#memory;
    for (let key = from; key < to; key = nextStrip(key)) {
      const strip = Math.floor((key - start) / STRIP);
      const entry = this.#entryOf(strip) + 1;
      const own = this.#scratch.values + strip * STRIP * this.#scratch.rowBytes;
      ints[entry] = own;
      const end = Math.min(to, nextStrip(key));
      if (this.#pages.inStrips) this.#placeRows(unit, entry, key, end);
      else for (let each = key; each < end; each++) this.#widen(this.#values, unit, own, each, 1);
    }
  }

  #entryOf(strip: number): number {
    return (this.#scratch.strips + strip * STRIP_ENTRY_BYTES) / 4;
  }

  /** The key lies in one strip of one page, with its neighbours. */
  #placeStrip(unit: AttentionUnit, entry: number, key: number): void {
    const { ints } = this.#memory;
    const { headDim, blockSize, stripBytes } = this.#pages;
    const strip = this.#keys + this.#pageOf(unit, key) + Math.floor((key % blockSize) / STRIP) * stripBytes;
    if (this.#isInPlace.keys) ints[entry] = strip;
    else this.#widenStrip(strip, ints[entry]!, headDim);
  }

  /** The values of keys `from` to `to` - 1, which lie in one strip of one page. */
  #placeRows(unit: AttentionUnit, entry: number, from: number, to: number): void {
    const { ints } = this.#memory;
    const { rowBytes, blockSize } = this.#pages;
    if (!this.#isInPlace.values) this.#widen(this.#values, unit, ints[entry]!, from, to - from);
    else {
      const row = this.#values + this.#pageOf(unit, from) + (from % blockSize) * rowBytes;
      ints[entry] = row - (from % STRIP) * rowBytes;
    }
  }

  /** Pages of rows: a key is widened where its values will be, and goes to its lane from there. */
  #placeKey(unit: AttentionUnit, strip: number, key: number): void {
    const { headDim } = this.#pages;
    this.#widen(this.#keys, unit, this.#scratch.values, key, 1);
    this.#storeLane(this.#scratch.values + (key % STRIP) * this.valueBytes, strip + 4 * (key % STRIP), headDim);
  }

  /** `count` rows of one page, from that of `key` on, to their lines of the strip at `target`. */
  #widen(cache: number, unit: AttentionUnit, target: number, key: number, count: number): void {
    const { headDim, rowBytes, blockSize } = this.#pages;
    const row = cache + this.#pageOf(unit, key) + (key % blockSize) * rowBytes;
    this.#widenRows(row, target + (key % STRIP) * this.valueBytes, headDim, count, rowBytes, this.valueBytes);
  }

  /** Bytes from the cache's start to the head's part of the page that holds a key. */
  #pageOf({ sequence, kvHead }: AttentionUnit, key: number): number {
    const { blockSize, blockBytes, headBytes } = this.#pages;
    const page = sequence * this.#maxBlocks + Math.floor(key / blockSize);
    return this.#memory.ints[this.#tables + page]! * blockBytes + kvHead * headBytes;
  }
}

/** The first key of the strip after the key's. */
const nextStrip = (key: number): number => key - (key % STRIP) + STRIP;
