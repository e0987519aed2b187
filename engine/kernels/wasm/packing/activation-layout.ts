/** How packed activations lie: like the weights, as one stream in the order of use, so that a kernel needs no stride and
 * no K in its code. A tile of up to 4 tokens is a run of records, one for each record of the weights, with all tokens' parts
 * one after the other:
 *
 *   tile       | record 0: token 0 | token 1 | token 2 | token 3 | record 1: token 0 | token 1 | ...
 *
 *   a part of  Q8_0    | 32 levels i16 | scale f32 |
 *              Q4_0    | 32 levels i8  | factor i16, twice | 8 * factor * sum of levels, i32 | unit of the row f32 |
 *              K32     | 256 levels i8 | scale f32 | 8 sums of 32 levels, i16, negated |
 *              K16     | 256 levels i8 | scale f32 | 16 sums of 16 levels, i16, times -16 |
 *              float   | 4 values f32 |
 *
 * All parts are alike, so that a kernel finds a number at the same offset from each token's pointer (matmul-tile.ts).
 * x = scale * level / HALF_PRESCALE, in Q4_0 unit * factor * level / HALF_PRESCALE: the prescale for the weights' f16 scales
 * (generators/half-floats.ts). */
import { HALF_PRESCALE } from '../generators/half-floats.ts';

/** Tokens in a full tile; the last tile of a batch may have fewer. */
export const TILE_TOKENS = 4;

/** Formats with the same layout take the same bytes. */
export interface ActivationLayout {
  /** Bytes of a token's levels (or values) in a record. */
  readonly levelBytes: number;
  /** Bytes of a record for each token in it. */
  readonly bytesPerToken: number;
}

/** Of values that are not quantized. */
export interface FloatLayout extends ActivationLayout {
  /** What they are multiplied by. */
  readonly scale: number;
}

export const Q8_ACTIVATIONS: ActivationLayout = { levelBytes: 64, bytesPerToken: 64 + 4 };
export const Q4_ACTIVATIONS: ActivationLayout = { levelBytes: 32, bytesPerToken: 32 + 4 + 4 + 4 };
/** For Q4_K and Q5_K. The sums meet the minima, which are subtracted. */
export const K32_ACTIVATIONS: ActivationLayout = { levelBytes: 256, bytesPerToken: 256 + 4 + 16 };
/** For Q6_K, whose levels are 32 too large: sums times 16 just fit in 16 bits, and the kernel doubles the scales. */
export const K16_ACTIVATIONS: ActivationLayout = { levelBytes: 256, bytesPerToken: 256 + 4 + 32 };
export const FLOAT_ACTIVATIONS: FloatLayout = { levelBytes: 16, bytesPerToken: 16, scale: 1 };
/** For F16. */
export const PRESCALED_ACTIVATIONS: FloatLayout = { ...FLOAT_ACTIVATIONS, scale: HALF_PRESCALE };

/** Where in a token's part of a record its scale (or factor) lies: behind the levels, the sums behind that, then the unit. */
export const scaleOffset = ({ levelBytes }: ActivationLayout): number => levelBytes;
export const sumsOffset = ({ levelBytes }: ActivationLayout): number => levelBytes + 4;
export const unitOffset = ({ levelBytes }: ActivationLayout): number => levelBytes + 8;
