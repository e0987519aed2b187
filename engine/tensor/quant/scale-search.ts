/** The search behind Q6_K: one signed scale for 16 elements, so that each x is close to scale * level with whole
 * levels -32..31.
 *
 * For given levels the best scale is sum(w x level) / sum(w level^2), and the error it leaves is smaller the larger
 * sum(w x level)^2 / sum(w level^2) is. So: try scales around the one that maps the extreme element to -32, keep the
 * largest such quotient. The weights, x^2, favour large elements.
 *
 * The order of operations, each rounded to f32, is that of ggml's `make_qx_quants`: bytes come out identical. */
import { nearestInt } from './nearest-int.ts';

const { fround, max, min } = Math;

const SIZE = 16;
const NUM_LEVELS_BELOW_ZERO = 32;
/** Tries on either side of the plain scale, each 0.1 steps apart. */
const NUM_TRIES = 9;
/** Below this magnitude a sub-block counts as zeros: squares of it would vanish in f32. */
export const NEGLIGIBLE: number = fround(1e-15);

/** Results and scratch are fields, so that a call allocates nothing. */
export class ScaleSearch {
  /** Results of the last `fit`; levels are stored plus 32. */
  scale = 0;
  readonly levels: Uint8Array = new Uint8Array(SIZE);

  readonly #x = new Float32Array(SIZE);
  #sumWXL = 0;
  #sumWLL = 0;

  /** Fits the 16 elements of `src` from `start`. */
  fit(src: Float32Array, start: number): void {
    let extreme = 0;
    for (let i = 0; i < SIZE; i++) {
      const value = src[start + i]!;
      this.#x[i] = value;
      if (Math.abs(value) > Math.abs(extreme)) extreme = value;
    }
    this.scale = 0;
    if (Math.abs(extreme) < NEGLIGIBLE) {
      this.levels.fill(0);
      return;
    }
    this.#search(extreme);
  }

  #search(extreme: number): void {
    const plainInverse = fround(-NUM_LEVELS_BELOW_ZERO / extreme);
    this.#sum(plainInverse);
    this.#keepLevels(plainInverse);
    this.scale = this.#sumWLL === 0 ? 0 : fround(this.#sumWXL / this.#sumWLL);
    let best = fround(this.scale * this.#sumWXL);
    const tenth = fround(0.1);
    for (let step = -NUM_TRIES; step <= NUM_TRIES; step++) {
      if (step === 0) continue;
      const inverse = fround(-fround(NUM_LEVELS_BELOW_ZERO + fround(tenth * step)) / extreme);
      this.#sum(inverse);
      const sumWXL = this.#sumWXL;
      const sumWLL = this.#sumWLL;
      // The quotients compared crosswise: no division, and none by zero.
      if (sumWLL > 0 && fround(sumWXL * sumWXL) > fround(best * sumWLL)) {
        this.#keepLevels(inverse);
        this.scale = fround(sumWXL / sumWLL);
        best = fround(this.scale * sumWXL);
      }
    }
  }

  #sum(inverse: number): void {
    const x = this.#x;
    let sumWXL = 0;
    let sumWLL = 0;
    for (let i = 0; i < SIZE; i++) {
      const value = x[i]!;
      const level = toLevel(value, inverse);
      const weight = fround(value * value);
      sumWXL = fround(sumWXL + fround(fround(weight * value) * level));
      sumWLL = fround(sumWLL + fround(fround(weight * level) * level));
    }
    this.#sumWXL = sumWXL;
    this.#sumWLL = sumWLL;
  }

  #keepLevels(inverse: number): void {
    for (let i = 0; i < SIZE; i++) this.levels[i] = NUM_LEVELS_BELOW_ZERO + toLevel(this.#x[i]!, inverse);
  }
}

function toLevel(value: number, inverse: number): number {
  const level = nearestInt(fround(inverse * value));
  return max(-NUM_LEVELS_BELOW_ZERO, min(NUM_LEVELS_BELOW_ZERO - 1, level));
}
