/** Where the keys and values of a section of attention lie: fills the scratch memory's table of strips, either with the places
 * in the pages, or, for a step at a time that was brought there, in scratch memory: f16 as f32, and what pages hold in rows. */
import type { Tensor } from '../../../tensor/tensor.ts';
import type { PagedAttentionArgs } from '../../ops.ts';
import type { StripDType } from '../generators/attention-rows.ts';
import {
  type AttentionScratch,
  FEW_QUERIES,
  SECTION_KEYS,
  STEP_KEYS,
  STRIP,
  STRIP_ENTRY_BYTES,
  STRIP_ROW_BYTES,
  STRIP_VALUES,
} from '../generators/attention-scratch.ts';
import { HALF_SHRINKAGE } from '../generators/half-floats.ts';
import type { Kernel, Kernels } from '../kernel-module.ts';
import type { LinearMemory } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { mayHoldSpecials } from '../specials-note.ts';
import { addressOf, byteAddressOf } from '../wasm-buffer.ts';
import type { HeadOfSequence } from './attention-queries.ts';
import { type KvPages, kvPages, levelPutters } from './kv-pages.ts';

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
  readonly #widenStrip: Kernel;
  readonly #bringKey: BringRow;
  readonly #bringValue: BringRow;

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
    this.#widenStrip = kernels.widen_strip_f16!;
    const bring = pages.dtype === 'q8_0' ? bringLevels : bringNumbers;
    [this.#bringKey, this.#bringValue] = bring({ kernels, pages, scratch });
  }

  /** How kernels take keys and values of so many queries: from pages as they are, or from strips in scratch memory. */
  sourceOf(numQueries: number): 'pages' | 'scratch' {
    const { dtype, inStrips } = this.pages;
    if (!inStrips) return 'scratch';
    return dtype !== 'f16' || (numQueries <= FEW_QUERIES && !this.#mayHoldSpecials()) ? 'pages' : 'scratch';
  }

  /** What strips in scratch memory hold. */
  get scratchDType(): StripDType {
    return this.pages.dtype === 'q8_0' ? 'q8_0' : 'f32';
  }

  /** Kernels that read pages of f16 know finite numbers only. */
  #mayHoldSpecials(): boolean {
    return this.#caches.some((cache) => mayHoldSpecials(this.#memory, cache));
  }

  /** For kernels that find strips by themselves: the first byte of the head's part of page 0, of keys and of values, and
   * the list of the sequence's pages. */
  placesOf({ sequence, kvHead }: HeadOfSequence): {
    readonly keys: number;
    readonly values: number;
    readonly table: number;
  } {
    const offset = kvHead * this.pages.headBytes;
    const table = 4 * (this.#tables + sequence * this.#maxBlocks);
    return { keys: this.#keys + offset, values: this.#values + offset, table };
  }

  /** Points at the strips that hold keys `from` to `to` - 1 and their values, in the head's pages. Absolute positions,
   * within one section. */
  point(head: HeadOfSequence, from: number, to: number): void {
    const { ints } = this.#memory;
    for (let key = from; key < to; key = nextStrip(key)) {
      const entry = this.#entryOf(key);
      const strip = this.#stripOf(head, key);
      ints[entry] = this.#keys + strip;
      ints[entry + STRIP_VALUES / 4] = this.#values + strip;
    }
  }

  /** Brings keys `from` to `to` - 1, of one step, to scratch memory, and points at them. */
  bringKeys(head: HeadOfSequence, from: number, to: number): void {
    const stripBytes = this.pages.headDim * STRIP_ROW_BYTES;
    for (let key = from; key < to; key = nextStrip(key)) {
      const own = this.#scratch.keys + stripOfStep(key) * stripBytes;
      this.#memory.ints[this.#entryOf(key)] = own;
      this.#bringStrip({ cache: this.#keys, bring: this.#bringKey }, own, { head, key, to });
    }
  }

  /** Likewise the values. */
  bringValues(head: HeadOfSequence, from: number, to: number): void {
    const stripBytes = STRIP * this.#scratch.rowBytes;
    for (let key = from; key < to; key = nextStrip(key)) {
      const own = this.#scratch.values + stripOfStep(key) * stripBytes;
      this.#memory.ints[this.#entryOf(key) + STRIP_VALUES / 4] = own;
      this.#bringStrip({ cache: this.#values, bring: this.#bringValue }, own, { head, key, to });
    }
  }

  /** From `key` to the strip's end or to `to` - 1. */
  #bringStrip(
    { cache, bring }: { readonly cache: number; readonly bring: BringRow },
    own: number,
    { head, key, to }: { readonly head: HeadOfSequence; readonly key: number; readonly to: number },
  ): void {
    const { headDim, inStrips, blockSize, rowBytes } = this.pages;
    if (inStrips) {
      this.#widenStrip(cache + this.#stripOf(head, key), own, headDim);
      return;
    }
    for (let each = key; each < Math.min(to, nextStrip(key)); each++) {
      bring(cache + this.#pageOf(head, each) + (each % blockSize) * rowBytes, own, each % STRIP);
    }
  }

  #entryOf(key: number): number {
    return (this.#scratch.strips + Math.floor((key % SECTION_KEYS) / STRIP) * STRIP_ENTRY_BYTES) / 4;
  }

  /** Bytes from the cache's start to the head's strip that holds a key. */
  #stripOf(head: HeadOfSequence, key: number): number {
    const { blockSize, stripBytes } = this.pages;
    return this.#pageOf(head, key) + Math.floor((key % blockSize) / STRIP) * stripBytes;
  }

  /** To the head's part of the page that holds it. */
  #pageOf({ sequence, kvHead }: HeadOfSequence, key: number): number {
    const { blockSize, blockBytes, headBytes } = this.pages;
    const page = sequence * this.#maxBlocks + Math.floor(key / blockSize);
    return this.#memory.ints[this.#tables + page]! * blockBytes + kvHead * headBytes;
  }
}

const stripOfStep = (key: number): number => Math.floor((key % STEP_KEYS) / STRIP);

/** The first key of the strip after the key's. */
const nextStrip = (key: number): number => key - (key % STRIP) + STRIP;

/** Brings a row of a page of rows to place `lane` of a strip. */
type BringRow = (row: number, strip: number, lane: number) => void;

interface Bringing {
  readonly kernels: Kernels;
  readonly pages: KvPages;
  readonly scratch: AttentionScratch;
}

/** As f32 and, of f16, as strips of it are read.
 * @returns for keys and for values */
function bringNumbers({ kernels, pages, scratch }: Bringing): [BringRow, BringRow] {
  const { dtype, headDim, rowBytes } = pages;
  const widenRow = kernels[`widen_rows_${dtype}`]!;
  const [scaleFloats, storeKey, storeValue] = [
    kernels.scale_floats!,
    kernels.store_lane_f32!,
    kernels.store_value_f32!,
  ];
  const own = scratch.row;
  const widen = (row: number): void => {
    widenRow(row, own, headDim, 1, rowBytes, scratch.rowBytes);
    if (dtype === 'f16') scaleFloats(own, own, headDim, HALF_SHRINKAGE);
  };
  return [
    (row, strip, lane) => {
      widen(row);
      storeKey(own, strip + 4 * lane, headDim);
    },
    (row, strip, lane) => {
      widen(row);
      storeValue(own, strip + STRIP_ROW_BYTES * lane, scratch.rowBytes / STRIP_ROW_BYTES);
    },
  ];
}

/** As they are. */
function bringLevels({ kernels, pages }: Bringing): [BringRow, BringRow] {
  return levelPutters(kernels.lay_key_q8_0!, kernels.lay_value_q8_0!, pages.headDim);
}
