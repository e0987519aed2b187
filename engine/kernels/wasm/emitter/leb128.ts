/** LEB128: how WebAssembly writes integers. Seven bits per byte, lowest first; the top bit says that more follow.
 *
 *   300 = 0b10_0101100   ->   1_0101100  0_0000010   =  ac 02
 *
 * Source  WebAssembly specification, section 5.2.2 */
import { byteCode, type Code } from './bytes.ts';

/** Of the numbers below 128: nearly all that are asked for. */
const ONE_BYTE: readonly Code[] = Array.from({ length: 0x80 }, (_, value) => byteCode(value));

/** Unsigned, for counts, indices and offsets: 0 to 2^32 - 1. */
export function unsignedLeb128(value: number): Code {
  let rest = value >>> 0;
  if (rest < 0x80) return ONE_BYTE[rest]!;
  let code = '';
  for (; rest > 0x7f; rest >>>= 7) code += byteCode((rest & 0x7f) | 0x80);
  return code + byteCode(rest);
}

/** Signed, for i32 constants. The last byte's bit 6 is the sign, so a byte that would show the wrong one is not last. */
export function signedLeb128(value: number): Code {
  let code = '';
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    const isLast = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
    code += byteCode(isLast ? low : low | 0x80);
    if (isLast) return code;
  }
}
