/** Rounding as the k-quants need it. */

const MAGIC = 1.5 * 2 ** 23;

/** Nearest whole number of an f32 value below 2^22 in magnitude, ties to even: at 1.5 * 2^23 an f32 has no bits left
 * for a fraction, so adding that constant rounds and subtracting it gives the result back. */
export function nearestInt(value: number): number {
  return Math.fround(value + MAGIC) - MAGIC;
}
