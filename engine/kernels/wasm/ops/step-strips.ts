/** Where the keys and values of a step of attention lie: fills the scratch memory's table of strips, either with the places
 * in the pages, or, once they were widened there, in scratch memory. */
import type { PagedAttentionArgs } from '../../ops.ts';
import {
  type AttentionScratch,
  FEW_QUERIES,
  SCALES_OFFSET,
  STRIP,
  STRIP_ENTRY_BYTES,
  STRIP_ROW_BYTES,
  STRIP_VALUES,
} from '../generators/attention-scratch.ts';
import type { Kernel } from '../kernel-module.ts';
import type { LinearMemory } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf, byteAddressOf } from '../wasm-buffer.ts';
import type { AttentionUnit } from './attention-units.ts';
import { type KvPages, kvPages } from './kv-pages.ts';

export class StepStrips {
  readonly pages: KvPages;
  readonly #memory: LinearMemory;
  readonly #scratch: AttentionScratch;
  readonly #keys: number;
  readonly #values: number;
  /** Index of the first block table's first entry. */
  readonly #tables: number;
  readonly #maxBlocks: number;
  readonly #widenKeys: Kernel;
  readonly #widenValues: Kernel;
  readonly #widenRow: Kernel;
  readonly #storeKey: Kernel;
  readonly #storeValue: Kernel;

  constructor({ memory, kernels }: Machine, args: PagedAttentionArgs, scratch: AttentionScratch) {
    const pages = kvPages(args.keyCache);
    this.pages = pages;
    this.#memory = memory;
    this.#scratch = scratch;
    this.#keys = byteAddressOf(args.keyCache);
    this.#values = byteAddressOf(args.valueCache);
    this.#tables = addressOf(args.blockTables) / 4;
    this.#maxBlocks = args.blockTables.shape[1]!;
    const ofStrip = (what: string) => kernels[pages.dtype === 'q8_0' ? `widen_${what}_q8_0` : 'widen_strip_f16']!;
    [this.#widenKeys, this.#widenValues] = [ofStrip('keys'), ofStrip('values')];
    this.#widenRow = kernels[`widen_rows_${pages.dtype}`]!;
    [this.#storeKey, this.#storeValue] = [kernels.store_lane_f32!, kernels.store_value_f32!];
  }

  /** How kernels take keys and values of so many queries: from pages as they are, or as f32 from scratch memory. */
  sourceOf(numQueries: number): 'pages' | 'scratch' {
    const { dtype, inStrips } = this.pages;
    return inStrips && (dtype === 'f32' || numQueries <= FEW_QUERIES) ? 'pages' : 'scratch';
  }

  /** Points at the strips that hold keys `from` to `to` - 1 and their values, in the unit's pages. Absolute positions,
   * within the step that begins at `start`. */
  point(unit: AttentionUnit, start: number, from: number, to: number): void {
    const { ints } = this.#memory;
    for (let key = from; key < to; key = nextStrip(key)) {
      const entry = this.#entryOf(key - start);
      const strip = this.#stripOf(unit, key);
      ints[entry] = this.#keys + strip;
      ints[entry + STRIP_VALUES / 4] = this.#values + strip;
    }
  }

  /** Brings the keys to scratch memory, and points at them. */
  widenKeys(unit: AttentionUnit, start: number, from: number, to: number): void {
    const { ints } = this.#memory;
    const { headDim, inStrips } = this.pages;
    for (let key = from; key < to; key = nextStrip(key)) {
      const own = this.#scratch.keys + Math.floor((key - start) / STRIP) * headDim * STRIP_ROW_BYTES;
      ints[this.#entryOf(key - start)] = own;
      if (inStrips) this.#widenKeys(this.#keys + this.#stripOf(unit, key), own, headDim);
      else for (let each = key; each < Math.min(to, nextStrip(key)); each++) this.#bringKey(unit, own, each);
    }
  }

  /** Likewise the values. */
  widenValues(unit: AttentionUnit, start: number, from: number, to: number): void {
    const { ints } = this.#memory;
    const { headDim, inStrips } = this.pages;
    const { values, rowBytes, strips } = this.#scratch;
    for (let key = from; key < to; key = nextStrip(key)) {
      const own = values + Math.floor((key - start) / STRIP) * STRIP * rowBytes;
      ints[this.#entryOf(key - start) + STRIP_VALUES / 4] = own;
      if (inStrips) this.#widenValues(this.#values + this.#stripOf(unit, key), own, headDim, strips + SCALES_OFFSET);
      else for (let each = key; each < Math.min(to, nextStrip(key)); each++) this.#bringValue(unit, own, each);
    }
  }

  #bringKey(unit: AttentionUnit, strip: number, key: number): void {
    this.#bringRow(this.#keys, unit, key);
    this.#storeKey(this.#scratch.row, strip + 4 * (key % STRIP), this.pages.headDim);
  }

  #bringValue(unit: AttentionUnit, strip: number, key: number): void {
    this.#bringRow(this.#values, unit, key);
    this.#storeValue(
      this.#scratch.row,
      strip + STRIP_ROW_BYTES * (key % STRIP),
      this.#scratch.rowBytes / STRIP_ROW_BYTES,
    );
  }

  /** The key's row of a page of rows, as f32. */
  #bringRow(cache: number, unit: AttentionUnit, key: number): void {
    const { headDim, rowBytes, blockSize } = this.pages;
    const row = cache + this.#pageOf(unit, key) + (key % blockSize) * rowBytes;
    this.#widenRow(row, this.#scratch.row, headDim, 1, rowBytes, this.#scratch.rowBytes);
  }

  /** @param key  counted from the step's first */
  #entryOf(key: number): number {
    return (this.#scratch.strips + Math.floor(key / STRIP) * STRIP_ENTRY_BYTES) / 4;
  }

  /** Bytes from the cache's start to the head's strip that holds a key. */
  #stripOf(unit: AttentionUnit, key: number): number {
    const { blockSize, stripBytes } = this.pages;
    return this.#pageOf(unit, key) + Math.floor((key % blockSize) / STRIP) * stripBytes;
  }

  /** To the head's part of the page that holds it. */
  #pageOf({ sequence, kvHead }: AttentionUnit, key: number): number {
    const { blockSize, blockBytes, headBytes } = this.pages;
    const page = sequence * this.#maxBlocks + Math.floor(key / blockSize);
    return this.#memory.ints[this.#tables + page]! * blockBytes + kvHead * headBytes;
  }
}

/** The first key of the strip after the key's. */
const nextStrip = (key: number): number => key - (key % STRIP) + STRIP;
