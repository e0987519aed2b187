/** The search behind Q4_K and Q5_K: a scale and a minimum for 32 elements, so that each x is close to
 * scale * level - min with whole levels.
 *
 * For a given scale the best levels are a rounding. For given levels the best scale and minimum are a weighted linear
 * regression of x on the levels. So: try a row of slightly stretched scales, round to levels, solve for the scale and
 * minimum which those levels want, keep the try with the least weighted squared error. The weights, rms(x) + |x|,
 * favour large elements.
 *
 * The order of operations, each rounded to f32, is that of ggml's `make_qkx2_quants`: bytes come out identical. */
import { nearestInt } from './nearest-int.ts';

const { fround, max, min } = Math;

/** Elements per sub-block. */
const SIZE = 32;

export interface ScaleMinSearchOptions {
  /** 15 for 4 bits, 31 for 5. */
  readonly maxLevel: number;
  /** The first try spreads the range over `maxLevel + firstStretch` steps, each further one over 0.1 more. */
  readonly firstStretch: number;
  /** Tries after the first. */
  readonly numSteps: number;
}

/** Results and scratch are fields, so that a call allocates nothing. */
export class ScaleMinSearch {
  /** Results of the last `fit`. `min` is what to subtract, never negative. */
  scale = 0;
  min = 0;
  readonly levels: Uint8Array = new Uint8Array(SIZE);

  readonly #options: ScaleMinSearchOptions;
  readonly #x = new Float32Array(SIZE);
  readonly #weights = new Float32Array(SIZE);
  readonly #candidate = new Uint8Array(SIZE);
  #sumW = 0;
  #sumWX = 0;

  constructor(options: ScaleMinSearchOptions) {
    this.#options = options;
  }

  /** Fits the 32 elements of `src` from `start`. */
  fit(src: Float32Array, start: number): void {
    for (let i = 0; i < SIZE; i++) this.#x[i] = src[start + i]!;
    this.#weigh();
    let lowest = 0; // the stored minimum has no sign, so the range reaches at least down to zero
    let highest = this.#x[0]!;
    for (let i = 0; i < SIZE; i++) {
      lowest = min(lowest, this.#x[i]!);
      highest = max(highest, this.#x[i]!);
    }
    this.scale = 0;
    this.min = -lowest;
    this.levels.fill(0);
    if (highest > lowest) this.#search(lowest, highest);
  }

  #weigh(): void {
    const x = this.#x;
    let sumSquares = 0;
    for (let i = 0; i < SIZE; i++) sumSquares = fround(sumSquares + fround(x[i]! * x[i]!));
    const rms = fround(Math.sqrt(fround(sumSquares / SIZE)));
    let sumW = 0;
    let sumWX = 0;
    for (let i = 0; i < SIZE; i++) {
      const weight = fround(rms + Math.abs(x[i]!));
      this.#weights[i] = weight;
      sumW = fround(sumW + weight);
      sumWX = fround(sumWX + fround(weight * x[i]!));
    }
    this.#sumW = sumW;
    this.#sumWX = sumWX;
  }

  /** Starts from the plain scale (the range over maxLevel steps) and keeps whatever beats it. The range that the
   * following tries spread over begins at the best minimum so far. */
  #search(lowest: number, highest: number): void {
    const { maxLevel, firstStretch, numSteps } = this.#options;
    const plainInverse = fround(maxLevel / fround(highest - lowest));
    this.scale = fround(1 / plainInverse);
    this.#round(plainInverse, lowest);
    this.levels.set(this.#candidate);
    let leastError = this.#error(this.scale, lowest, Infinity);
    const tenth = fround(0.1);
    for (let step = 0; step <= numSteps; step++) {
      const numLevelSteps = fround(fround(firstStretch + fround(tenth * step)) + maxLevel);
      this.#round(fround(numLevelSteps / fround(highest + this.min)), -this.min);
      leastError = this.#solve(leastError);
    }
  }

  /** The candidate's levels: how many steps each element lies above `lowest`. */
  #round(inverseScale: number, lowest: number): void {
    const x = this.#x;
    const candidate = this.#candidate;
    const maxLevel = this.#options.maxLevel;
    for (let i = 0; i < SIZE; i++) {
      const level = nearestInt(fround(inverseScale * fround(x[i]! - lowest)));
      candidate[i] = max(0, min(maxLevel, level));
    }
  }

  /** Regression of x on the candidate's levels; keeps the candidate when its error is below `leastError`.
   * @returns the least error so far */
  #solve(leastError: number): number {
    const x = this.#x;
    const candidate = this.#candidate;
    const weights = this.#weights;
    let sumWL = 0;
    let sumWLL = 0;
    let sumWXL = 0;
    for (let i = 0; i < SIZE; i++) {
      const level = candidate[i]!;
      const weighted = fround(weights[i]! * level);
      sumWL = fround(sumWL + weighted);
      sumWLL = fround(sumWLL + fround(weighted * level));
      sumWXL = fround(sumWXL + fround(weighted * x[i]!));
    }
    const sumW = this.#sumW;
    const sumWX = this.#sumWX;
    const determinant = fround(fround(sumW * sumWLL) - fround(sumWL * sumWL));
    if (!(determinant > 0)) return leastError;
    let scale = fround(fround(fround(sumW * sumWXL) - fround(sumWX * sumWL)) / determinant);
    let lowest = fround(fround(fround(sumWLL * sumWX) - fround(sumWL * sumWXL)) / determinant);
    if (lowest > 0) {
      lowest = 0;
      scale = fround(sumWXL / sumWLL);
    }
    const error = this.#error(scale, lowest, leastError);
    if (!(error < leastError)) return leastError;
    this.levels.set(candidate);
    this.scale = scale;
    this.min = -lowest;
    return error;
  }

  /** Weighted squared error of the candidate's levels under a scale and a lowest value. It only ever grows from element
   * to element, so the sum may stop, at whatever it is by then, once it reaches `enough`. */
  #error(scale: number, lowest: number, enough: number): number {
    const x = this.#x;
    const candidate = this.#candidate;
    const weights = this.#weights;
    let error = 0;
    for (let i = 0; i < SIZE; i++) {
      const difference = fround(fround(fround(scale * candidate[i]!) + lowest) - x[i]!);
      error = fround(error + fround(weights[i]! * fround(difference * difference)));
      if (error >= enough) break;
    }
    return error;
  }
}
