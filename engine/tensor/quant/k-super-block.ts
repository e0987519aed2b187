/** What Q4_K and Q5_K do alike when they quantize 256 elements: fit each sub-block of 32 by itself, then squeeze the
 * eight scales and the eight minima into 6 bits each against the largest of them, then choose the levels anew for the
 * scales and minima that were really stored. How levels are packed is the formats' own affair.
 *
 * Follows ggml's `quantize_row_q4_K_ref`, f32 step by f32 step. */
import { readF16, writeF16 } from '../float16.ts';
import { readMin, readScale, writeScalesAndMins } from './k-header.ts';
import { nearestInt } from './nearest-int.ts';
import { ScaleMinSearch, type ScaleMinSearchOptions } from './scale-min-search.ts';

const { fround } = Math;

/** Elements in a super-block of any k-quant. */
export const SUPER_BLOCK_SIZE = 256;

const NUM_SUB_BLOCKS = 8;
const SUB_BLOCK_SIZE = 32;
/** 6 bits. */
const MAX_PACKED = 63;

/** One per call of `quantize`, for its scratch. */
export class SuperBlockQuantizer {
  /** The levels of the last super-block, in element order. */
  readonly levels: Uint8Array = new Uint8Array(SUPER_BLOCK_SIZE);

  readonly #search: ScaleMinSearch;
  readonly #maxLevel: number;
  readonly #scales = new Float32Array(NUM_SUB_BLOCKS);
  readonly #mins = new Float32Array(NUM_SUB_BLOCKS);
  readonly #packedScales = new Uint8Array(NUM_SUB_BLOCKS);
  readonly #packedMins = new Uint8Array(NUM_SUB_BLOCKS);

  constructor(options: ScaleMinSearchOptions) {
    this.#search = new ScaleMinSearch(options);
    this.#maxLevel = options.maxLevel;
  }

  /** Quantizes 256 elements of `src` from `start`: writes the 16-byte header (k-header.ts) and fills `levels`. */
  quantize(src: Float32Array, start: number, dst: Uint8Array, header: number): void {
    for (let sub = 0; sub < NUM_SUB_BLOCKS; sub++) {
      this.#search.fit(src, start + sub * SUB_BLOCK_SIZE);
      this.#scales[sub] = this.#search.scale;
      this.#mins[sub] = this.#search.min;
      this.levels.set(this.#search.levels, sub * SUB_BLOCK_SIZE);
    }
    writeF16(dst, header, packAgainstLargest(this.#scales, this.#packedScales));
    writeF16(dst, header + 2, packAgainstLargest(this.#mins, this.#packedMins));
    writeScalesAndMins(dst, header, this.#packedScales, this.#packedMins);
    for (let sub = 0; sub < NUM_SUB_BLOCKS; sub++) this.#chooseLevels(src, start, sub, dst, header);
  }

  /** Levels for the stored scale and minimum. A scale that was stored as zero leaves the levels as they were fitted:
   * they do not matter. */
  #chooseLevels(src: Float32Array, start: number, sub: number, dst: Uint8Array, header: number): void {
    const scale = fround(readF16(dst, header) * readScale(dst, header, sub));
    if (scale === 0) return;
    const min = fround(readF16(dst, header + 2) * readMin(dst, header, sub));
    for (let i = sub * SUB_BLOCK_SIZE; i < (sub + 1) * SUB_BLOCK_SIZE; i++) {
      const level = nearestInt(fround(fround(src[start + i]! + min) / scale));
      this.levels[i] = Math.max(0, Math.min(this.#maxLevel, level));
    }
  }
}

/** Expresses each value as a multiple, 0..63, of a common factor.
 * @returns the factor: the largest value is 63 of it */
function packAgainstLargest(values: Float32Array, packed: Uint8Array): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) if (values[i]! > largest) largest = values[i]!;
  const inverse = largest > 0 ? fround(MAX_PACKED / largest) : 0;
  for (let i = 0; i < values.length; i++) {
    packed[i] = Math.max(0, Math.min(MAX_PACKED, nearestInt(fround(inverse * values[i]!))));
  }
  return fround(largest / MAX_PACKED);
}
