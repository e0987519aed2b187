/** What a quantizer looks for first in a quant block: its extremes. Comparisons rather than Math.min and Math.max, which
 * put -0 below +0: here the first of equals stays, as in ggml, and the sign of a zero scale is part of the bytes. */

export const BLOCK_SIZE = 32;

/** The element of greatest magnitude, with its sign. 0 for a block of zeros. */
export function signedAbsMax(src: Float32Array, start: number): number {
  let extreme = 0;
  let magnitude = 0;
  for (let i = start; i < start + BLOCK_SIZE; i++) {
    const value = src[i]!;
    if (Math.abs(value) > magnitude) {
      magnitude = Math.abs(value);
      extreme = value;
    }
  }
  return extreme;
}

export function blockMin(src: Float32Array, start: number): number {
  let min = src[start]!;
  for (let i = start + 1; i < start + BLOCK_SIZE; i++) if (src[i]! < min) min = src[i]!;
  return min;
}

export function blockMax(src: Float32Array, start: number): number {
  let max = src[start]!;
  for (let i = start + 1; i < start + BLOCK_SIZE; i++) if (src[i]! > max) max = src[i]!;
  return max;
}
