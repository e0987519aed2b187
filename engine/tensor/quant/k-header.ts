/** The first 16 bytes of a Q4_K or Q5_K super-block: two f16 factors, and 8 scales and 8 minima of 6 bits each.
 *
 *   byte  0   2      4              8              12            16
 *         | d | dmin | scales 0..3  | minima 0..3  | low nibbles |
 *         f16  f16     6 bits in      6 bits in      of 4..7
 *                      bits 5..0      bits 5..0
 *
 *   j < 4   scale j = bits 5..0 of byte 4 + j            minimum j = bits 5..0 of byte 8 + j
 *   j >= 4  scale j = low nibble of byte 8 + j           minimum j = high nibble of byte 8 + j
 *             plus bits 7..6 of byte j as bits 5..4        plus bits 7..6 of byte 4 + j as bits 5..4
 *
 * so that the two spare bits of the first eight bytes hold the upper bits of the last four pairs. */

/** Bytes of d, dmin and the packed scales and minima. */
export const K_HEADER_BYTES = 16;

/** Scale of sub-block `j` (0..7), 0..63. `header` is where the super-block starts. */
export function readScale(src: Uint8Array, header: number, j: number): number {
  if (j < 4) return src[header + 4 + j]! & 63;
  return (src[header + 8 + j]! & 15) | ((src[header + j]! >> 6) << 4);
}

/** Minimum of sub-block `j` (0..7), 0..63. */
export function readMin(src: Uint8Array, header: number, j: number): number {
  if (j < 4) return src[header + 8 + j]! & 63;
  return (src[header + 8 + j]! >> 4) | ((src[header + 4 + j]! >> 6) << 4);
}

/** Stores all pairs; 8 scales and 8 minima, each 0..63. */
export function writeScalesAndMins(dst: Uint8Array, header: number, scales: Uint8Array, mins: Uint8Array): void {
  for (let j = 0; j < 4; j++) {
    const scale = scales[j + 4]!;
    const min = mins[j + 4]!;
    dst[header + 4 + j] = scales[j]! | ((scale >> 4) << 6);
    dst[header + 8 + j] = mins[j]! | ((min >> 4) << 6);
    dst[header + 12 + j] = (scale & 15) | ((min & 15) << 4);
  }
}
