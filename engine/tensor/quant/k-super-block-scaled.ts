/** How Q6_K quantizes 256 elements: fit each sub-block of 16 by itself, squeeze the sixteen scales into signed bytes
 * against the one of greatest magnitude, then choose the levels anew for the scales that were really stored. Packing
 * the levels is the format's own affair.
 *
 * Follows ggml's `quantize_row_q6_K_ref`, f32 step by f32 step. */
import { readF16, writeF16 } from '../float16.ts';
import { SUPER_BLOCK_SIZE } from './k-super-block.ts';
import { nearestInt } from './nearest-int.ts';
import { NEGLIGIBLE, ScaleSearch } from './scale-search.ts';

const { fround } = Math;

const NUM_SUB_BLOCKS = 16;
const SUB_BLOCK_SIZE = 16;

/** One per call of `quantize`, for its scratch. */
export class ScaledSuperBlockQuantizer {
  /** The levels of the last super-block, 0..63, in element order. */
  readonly levels: Uint8Array = new Uint8Array(SUPER_BLOCK_SIZE);

  readonly #search = new ScaleSearch();
  readonly #scales = new Float32Array(NUM_SUB_BLOCKS);

  /** Quantizes 256 elements of `src` from `start`: writes the 16 scale bytes and, after them, the f16 factor to `dst`
   * from `scalesAt`, and fills `levels`.
   * @returns false, with nothing written, when the super-block is as good as zero */
  quantize(src: Float32Array, start: number, dst: Uint8Array, scalesAt: number): boolean {
    let extreme = 0;
    for (let sub = 0; sub < NUM_SUB_BLOCKS; sub++) {
      this.#search.fit(src, start + sub * SUB_BLOCK_SIZE);
      const scale = this.#search.scale;
      this.#scales[sub] = scale;
      this.levels.set(this.#search.levels, sub * SUB_BLOCK_SIZE);
      if (Math.abs(scale) > Math.abs(extreme)) extreme = scale;
    }
    if (Math.abs(extreme) < NEGLIGIBLE) return false;

    const inverse = fround(-128 / extreme);
    const factorAt = scalesAt + NUM_SUB_BLOCKS;
    writeF16(dst, factorAt, fround(1 / inverse));
    for (let sub = 0; sub < NUM_SUB_BLOCKS; sub++) {
      const packed = Math.min(127, nearestInt(fround(inverse * this.#scales[sub]!)));
      dst[scalesAt + sub] = packed;
      this.#chooseLevels(src, start, sub, fround(readF16(dst, factorAt) * packed));
    }
    return true;
  }

  /** Levels for the stored scale. A scale that was stored as zero leaves them as they were fitted: they do not
   * matter. */
  #chooseLevels(src: Float32Array, start: number, sub: number, scale: number): void {
    if (scale === 0) return;
    for (let i = sub * SUB_BLOCK_SIZE; i < (sub + 1) * SUB_BLOCK_SIZE; i++) {
      const level = nearestInt(fround(src[start + i]! / scale));
      this.levels[i] = Math.max(-32, Math.min(31, level)) + 32;
    }
  }
}
