/** LEB128: how WebAssembly writes integers. Seven bits per byte, lowest first; the top bit says that more follow.
 *
 *   300 = 0b10_0101100   ->   1_0101100  0_0000010   =  ac 02
 *
 * Source  WebAssembly specification, section 5.2.2 */

/** The lists of one byte: nearly all that are asked for. */
const ONE_BYTE: readonly (readonly number[])[] = Array.from({ length: 0x80 }, (_, value) => [value]);

/** Unsigned, for counts, indices and offsets: 0 to 2^32 - 1. */
export function unsignedLeb128(value: number): readonly number[] {
  if (value >= 0 && value < 0x80) return ONE_BYTE[value]!;
  const bytes: number[] = [];
  let rest = value >>> 0;
  do {
    const more = rest > 0x7f;
    bytes.push((rest & 0x7f) | (more ? 0x80 : 0));
    rest >>>= 7;
  } while (rest !== 0);
  return bytes;
}

/** Signed, for i32 constants. The last byte's bit 6 is the sign, so a byte that would show the wrong one is not last. */
export function signedLeb128(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    const isLast = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
    bytes.push(isLast ? low : low | 0x80);
    if (isLast) return bytes;
  }
}
