/** How packed activations lie: like the weights, as one stream in the order of use, so that a kernel needs no stride and
 * no K in its code. A tile of up to 4 tokens is a run of records, one for each record of the weights:
 *
 *   Q8_0   | token 0: 32 levels i16 | token 1 | ... | scales f32, one per token |
 *   Q4_0   | token 0: 32 levels i8  | token 1 | ... | scales f32 | 8 * sum of levels, i32 |
 *   K32    | token 0: 256 levels i8 | token 1 | ... | scales f32 | 8 sums of 32 levels per token, i16, negated |
 *   K16    | token 0: 256 levels i8 | token 1 | ... | scales f32 | 16 sums of 16 levels per token, i16, times -16 |
 *   float  | k 0: token 0, token 1, ... | k 1 | k 2 | k 3 |   f32
 *
 * x = scale * level / HALF_PRESCALE: the prescale for the weights' f16 scales (generators/half-floats.ts). */
import { HALF_PRESCALE } from '../generators/half-floats.ts';

/** Tokens in a full tile; the last tile of a batch may have fewer. */
export const TILE_TOKENS = 4;

/** Formats with the same layout take the same bytes. */
export interface ActivationLayout {
  /** Bytes of a token's levels (or values) in a record. */
  readonly levelBytes: number;
  /** Bytes of a record for each token in it. */
  readonly bytesPerToken: number;
  /** Bytes of a token's sums in a record, where there are any. */
  readonly sumBytes?: number;
}

/** Of values that are not quantized. */
export interface FloatLayout extends ActivationLayout {
  /** What they are multiplied by. */
  readonly scale: number;
}

export const Q8_ACTIVATIONS: ActivationLayout = { levelBytes: 64, bytesPerToken: 64 + 4 };
export const Q4_ACTIVATIONS: ActivationLayout = { levelBytes: 32, bytesPerToken: 32 + 4 + 4, sumBytes: 4 };
/** For Q4_K and Q5_K. The sums meet the minima, which are subtracted. */
export const K32_ACTIVATIONS: ActivationLayout = { levelBytes: 256, bytesPerToken: 256 + 4 + 16, sumBytes: 16 };
/** For Q6_K, whose levels are 32 too large: sums times 16 just fit in 16 bits, and the kernel doubles the scales. */
export const K16_ACTIVATIONS: ActivationLayout = { levelBytes: 256, bytesPerToken: 256 + 4 + 32, sumBytes: 32 };
export const FLOAT_ACTIVATIONS: FloatLayout = { levelBytes: 16, bytesPerToken: 16, scale: 1 };
/** For F16. */
export const PRESCALED_ACTIVATIONS: FloatLayout = { ...FLOAT_ACTIVATIONS, scale: HALF_PRESCALE };

/** Where in a record of `tokens` tokens the scale of token m lies. */
export function activationScaleOffset({ levelBytes }: ActivationLayout, tokens: number, m: number): number {
  return tokens * levelBytes + m * 4;
}

/** Where in a record of `tokens` tokens the sums of token m lie. */
export function activationSumOffset({ levelBytes, sumBytes = 0 }: ActivationLayout, tokens: number, m: number): number {
  return tokens * (levelBytes + 4) + m * sumBytes;
}
