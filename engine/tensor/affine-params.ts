/** Choosing scale and zero point of affine quantization: real = scale * (q - zeroPoint), q a signed whole number.
 *
 *   asymmetric, 4 bits:   q   -8 ................. 7      the range from the least to the greatest value, widened
 *                            min ....0......... max       to include 0, laid over all the levels
 *   symmetric, 4 bits:    q       -7 .....0..... 7        zeroPoint 0; -8 stays unused, so that -x is exactly -q
 *                            -amax       0       amax
 *
 * Zero is always a level of its own (q = zeroPoint), as padding and sparse weights need.
 * Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
 * Inference", section 2.1 and equation 1; section 3 for making zero exact. */

export type AffineBits = 8 | 4;

export interface AffineParams {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** The levels in use. */
export function levelRange(bits: AffineBits, symmetric: boolean): { readonly qMin: number; readonly qMax: number } {
  const qMax = 2 ** (bits - 1) - 1;
  return { qMin: symmetric ? -qMax : -qMax - 1, qMax };
}

/** Scale and zero point for values from `min` to `max` (finite, any order relative to zero). The real range they give
 * covers every one of those values to within half a step. All zeros get scale 1. */
export function chooseAffineParams(min: number, max: number, bits: AffineBits, symmetric: boolean): AffineParams {
  const { qMin, qMax } = levelRange(bits, symmetric);
  const low = Math.min(min, 0);
  const high = Math.max(max, 0);
  if (symmetric) return { scale: roundUpToShortScale(Math.max(-low, high) / qMax), zeroPoint: 0 };
  const scale = roundUpToShortScale((high - low) / (qMax - qMin));
  // Moving the zero point to a whole number shifts the range by at most half a step: so much may the ends lose.
  return { scale, zeroPoint: Math.round(qMin - low / scale) };
}

/** The next number up with at most 16 significant bits. A level difference has at most 8 bits, so that scale * (q -
 * zeroPoint) is exact in f32 and "within half a step" holds without a rounding term. Rounding up keeps the range
 * covered; it costs less than 2^-13 of it. */
function roundUpToShortScale(scale: number): number {
  if (scale === 0) return 1;
  // 15 bits asked for, so that a logarithm on the wrong side of a whole number does no harm. 2^-149: least f32 above 0.
  const quantum = Math.max(2 ** (Math.floor(Math.log2(scale)) - 14), 2 ** -149);
  return Math.ceil(scale / quantum) * quantum;
}
