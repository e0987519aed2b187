/** Signed 4-bit numbers, two per byte. Each row starts on a byte of its own, so rows can be read apart from each other;
 * a row of odd length leaves the last high nibble 0.
 *
 *   bit   7  6  5  4   3  2  1  0
 *        [element 2i+1][ element 2i ]     two's complement, -8..7 */

export function int4BytesPerRow(rowSize: number): number {
  return Math.ceil(rowSize / 2);
}

/** Element `column` of the row that starts at `rowStart` (bytes). */
export function readInt4(packed: Uint8Array, rowStart: number, column: number): number {
  const shift = (column & 1) * 4;
  return ((packed[rowStart + (column >> 1)]! >> shift) << 28) >> 28;
}

/** Sets a nibble that is still 0. */
export function writeInt4(packed: Uint8Array, rowStart: number, column: number, value: number): void {
  packed[rowStart + (column >> 1)]! |= (value & 15) << ((column & 1) * 4);
}
