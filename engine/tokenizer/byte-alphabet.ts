/** GPT-2's way to write any byte as one visible character, so that a vocabulary of byte strings can be stored as text.
 *
 *   bytes ! to ~, ¡ to ¬, ® to ÿ   stand for themselves
 *   the other 68, in order          U+0100, U+0101, ... U+0143   (space, 0x20, is the 33rd: U+0120 'Ġ')
 *
 * Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", §2.2, and its `bytes_to_unicode`. */

/** The character of each byte. */
export const BYTE_TO_CHAR: readonly string[] = buildAlphabet();

const CHAR_TO_BYTE: ReadonlyMap<number, number> = new Map(BYTE_TO_CHAR.map((char, byte) => [char.charCodeAt(0), byte]));

function buildAlphabet(): string[] {
  let numShifted = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const isVisible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(isVisible ? byte : 0x100 + numShifted++);
  });
}

/** The bytes that a token spells, or undefined when a character of it is none of the 256. */
export function spelledBytes(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = CHAR_TO_BYTE.get(text.charCodeAt(i));
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
