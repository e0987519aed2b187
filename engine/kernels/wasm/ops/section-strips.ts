/** Where the keys and values of a section of attention lie: fills the scratch memory's table of strips, either with the places
 * in the pages, or, for a step at a time that was widened there, in scratch memory. */
import type { Tensor } from '../../../tensor/tensor.ts';
import type { PagedAttentionArgs } from '../../ops.ts';
import {
  type AttentionScratch,
  FEW_QUERIES,
  SCALES_OFFSET,
  SECTION_KEYS,
  STEP_KEYS,
  STRIP,
  STRIP_ENTRY_BYTES,
  STRIP_ROW_BYTES,
  STRIP_VALUES,
} from '../generators/attention-scratch.ts';
import { HALF_SHRINKAGE } from '../generators/half-floats.ts';
import type { Kernel } from '../kernel-module.ts';
import type { LinearMemory } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { mayHoldSpecials } from '../specials-note.ts';
import { addressOf, byteAddressOf } from '../wasm-buffer.ts';
import type { AttentionUnit } from './attention-units.ts';
import { type KvPages, kvPages } from './kv-pages.ts';

export class SectionStrips {
  readonly pages: KvPages;
  readonly #memory: LinearMemory;
  readonly #scratch: AttentionScratch;
  readonly #caches: readonly Tensor[];
  readonly #keys: number;
  readonly #values: number;
  /** Index of the first block table's first entry. */
  readonly #tables: number;
  readonly #maxBlocks: number;
  readonly #widenKeys: Kernel;
  readonly #widenValues: Kernel;
  readonly #widenRow: Kernel;
  readonly #scaleFloats: Kernel;
  readonly #storeKey: Kernel;
  readonly #storeValue: Kernel;

  constructor({ memory, kernels }: Machine, args: PagedAttentionArgs, scratch: AttentionScratch) {
    const pages = kvPages(args.keyCache);
    this.pages = pages;
    this.#memory = memory;
    this.#scratch = scratch;
    this.#caches = [args.keyCache, args.valueCache];
    this.#keys = byteAddressOf(args.keyCache);
    this.#values = byteAddressOf(args.valueCache);
    this.#tables = addressOf(args.blockTables) / 4;
    this.#maxBlocks = args.blockTables.shape[1]!;
    const ofStrip = (what: string) => kernels[pages.dtype === 'q8_0' ? `widen_${what}_q8_0` : 'widen_strip_f16']!;
    [this.#widenKeys, this.#widenValues] = [ofStrip('keys'), ofStrip('values')];
    this.#widenRow = kernels[`widen_rows_${pages.dtype}`]!;
    this.#scaleFloats = kernels.scale_floats!;
    [this.#storeKey, this.#storeValue] = [kernels.store_lane_f32!, kernels.store_value_f32!];
  }

  /** How kernels take keys and values of so many queries: from pages as they are, or as f32 from scratch memory. */
  sourceOf(numQueries: number): 'pages' | 'scratch' {
    const { dtype, inStrips } = this.pages;
    if (dtype === 'f32' || !inStrips) return inStrips ? 'pages' : 'scratch';
    return numQueries <= FEW_QUERIES && !this.#mayHoldSpecials() ? 'pages' : 'scratch';
  }

  /** Kernels that read pages of f16 know finite numbers only. */
  #mayHoldSpecials(): boolean {
    return this.#caches.some((cache) => mayHoldSpecials(this.#memory, cache));
  }

  /** For kernels that find strips by themselves: the first byte of the unit's head in page 0, of keys and of values, and
   * the list of the sequence's pages. */
  placesOf({ sequence, kvHead }: AttentionUnit): {
    readonly keys: number;
    readonly values: number;
    readonly table: number;
  } {
    const offset = kvHead * this.pages.headBytes;
    const table = 4 * (this.#tables + sequence * this.#maxBlocks);
    return { keys: this.#keys + offset, values: this.#values + offset, table };
  }

  /** Points at the strips that hold keys `from` to `to` - 1 and their values, in the unit's pages. Absolute positions,
   * within one section. */
  point(unit: AttentionUnit, from: number, to: number): void {
    const { ints } = this.#memory;
    for (let key = from; key < to; key = nextStrip(key)) {
      const entry = this.#entryOf(key);
      const strip = this.#stripOf(unit, key);
      ints[entry] = this.#keys + strip;
      ints[entry + STRIP_VALUES / 4] = this.#values + strip;
    }
  }

  /** Brings keys `from` to `to` - 1, of one step, to scratch memory, and points at them. */
  widenKeys(unit: AttentionUnit, from: number, to: number): void {
    const { headDim, inStrips } = this.pages;
    for (let key = from; key < to; key = nextStrip(key)) {
      const own = this.#scratch.keys + stripOfStep(key) * headDim * STRIP_ROW_BYTES;
      this.#memory.ints[this.#entryOf(key)] = own;
      if (inStrips) this.#widenKeys(this.#keys + this.#stripOf(unit, key), own, headDim);
      else for (let each = key; each < Math.min(to, nextStrip(key)); each++) this.#bringKey(unit, own, each);
    }
  }

  /** Likewise the values. */
  widenValues(unit: AttentionUnit, from: number, to: number): void {
    const { headDim, inStrips } = this.pages;
    const { values, rowBytes, strips } = this.#scratch;
    for (let key = from; key < to; key = nextStrip(key)) {
      const own = values + stripOfStep(key) * STRIP * rowBytes;
      this.#memory.ints[this.#entryOf(key) + STRIP_VALUES / 4] = own;
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

  /** The key's row of a page of rows, as f32 and, of f16, as strips of it are read. */
  #bringRow(cache: number, unit: AttentionUnit, key: number): void {
    const { dtype, headDim, rowBytes, blockSize } = this.pages;
    const row = cache + this.#pageOf(unit, key) + (key % blockSize) * rowBytes;
    const own = this.#scratch.row;
    this.#widenRow(row, own, headDim, 1, rowBytes, this.#scratch.rowBytes);
    if (dtype === 'f16') this.#scaleFloats(own, own, headDim, HALF_SHRINKAGE);
  }

  #entryOf(key: number): number {
    return (this.#scratch.strips + Math.floor((key % SECTION_KEYS) / STRIP) * STRIP_ENTRY_BYTES) / 4;
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

const stripOfStep = (key: number): number => Math.floor((key % STEP_KEYS) / STRIP);

/** The first key of the strip after the key's. */
const nextStrip = (key: number): number => key - (key % STRIP) + STRIP;
