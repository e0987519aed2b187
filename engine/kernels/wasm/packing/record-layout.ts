/** How packed weights lie. 8 rows of a weight are a group; a group is a run of records; a record holds `blockK` elements
 * of all 8 rows in the order in which the kernel uses them, so that a matmul reads its weight from first byte to last,
 * as fast as memory can deliver. The same bits per weight as in the file; rows past the last are zeros.
 *
 *   weight = group 0 | group 1 | ...       group = record of k 0..31 | record of k 32..63 | ...     long rows: slices.ts
 *
 *   Q8_0, 272 bytes     16 chunks of 16 bytes                                        8 scales (f16)
 *     chunk c           | r0 k2c | r0 k2c+1 | r1 k2c | r1 k2c+1 | ... | r7 k2c+1 |   | r0 | r1 | ... | r7 |
 *
 *   Q4_0, 144 bytes     4 chunks of 32 bytes, 4 bytes per row                        8 scales (f16)
 *     byte j of row r   low nibble k = 4c + j, high nibble k = 16 + 4c + j           | r0 | r1 | ... | r7 |
 *
 *   Q4_K, 1184 bytes    4 pairs of sub-blocks of 32, then for each row the factors d and dmin (f16)
 *   Q5_K, 1440 bytes    the same, with fifth bits
 *   Q6_K, 1680 bytes    8 pairs of sub-blocks of 16, then for each row the factor d (f16)
 *
 *     pair      | scales | minima | high bits of a | low bits of a | high bits of b | low bits of b |
 *     scales    | r0 a | r0 b | r1 a | ... | r7 b |, whole bytes; minima likewise (Q6_K has none)
 *     low bits  chunks of 32 bytes, 4 bytes per row: chunk c has k = 8c + j in the low nibble of byte j of a row's four and
 *               k = 8c + 4 + j in the high nibble
 *     high bits 32 bytes, 4 bytes per row: byte j has the bits above the nibble of k = j, 4 + j, 8 + j, ..., from its
 *               lowest bit on (1 bit each in Q5_K, 2 in Q6_K; Q4_K has none)
 *
 *     A scale or minimum takes 8 bits rather than the file's 6: Q4_K and Q5_K are 2.8 and 2.3 % larger than in the file.
 *
 *   F32                 one element of each row for each k:  | r0 | r1 | ... | r7 |
 *   F16, BF16           likewise of two groups, side by side:  | r0 | ... | r7 | r0 | ... | r7 |
 *                       four k to a record; K is filled up with zeros to a multiple of 4 */

import { type ActivationLayout, K16_ACTIVATIONS, K32_ACTIVATIONS } from './activation-layout.ts';

export interface RecordLayout {
  /** Elements of each row in a record. */
  readonly blockK: number;
  /** Of the 8 rows of a group. */
  readonly byteLength: number;
  /** Set where two groups lie side by side in their records: from an even group's first byte to the next group's. */
  readonly pairStep?: number;
}

interface QuantRecord extends RecordLayout {
  readonly numChunks: number;
  readonly bytesPerChunk: number;
  /** Where the 8 f16 scales start. */
  readonly scalesOffset: number;
}

export interface FloatRecord extends RecordLayout {
  readonly bytesPerElement: number;
}

export const Q8_RECORD: QuantRecord = {
  blockK: 32,
  byteLength: 272,
  numChunks: 16,
  bytesPerChunk: 16,
  scalesOffset: 256,
};
export const Q4_RECORD: QuantRecord = {
  blockK: 32,
  byteLength: 144,
  numChunks: 4,
  bytesPerChunk: 32,
  scalesOffset: 128,
};
export const F32_RECORD: FloatRecord = { blockK: 4, byteLength: 128, bytesPerElement: 4 };
export const HALF_RECORD: FloatRecord = { blockK: 4, byteLength: 64, bytesPerElement: 2, pairStep: 16 };

/** A super-block of 8 rows. */
export interface KRecord extends RecordLayout {
  readonly dtype: 'q4_k' | 'q5_k' | 'q6_k';
  /** Elements that share a scale. */
  readonly subBlockK: 16 | 32;
  /** Bits of a level beyond the nibble. */
  readonly highBits: 0 | 1 | 2;
  /** x = d * scale * (level - levelOffset) - dmin * minimum */
  readonly levelOffset: number;
  readonly hasSignedScales: boolean;
  readonly pairBytes: number;
  /** Where in a pair the minima start; the scales are at 0. */
  readonly minsOffset: number | undefined;
  /** Where in a pair the high bits of the two sub-blocks start, and the low bits. */
  readonly highOffsets: readonly [number, number];
  readonly lowOffsets: readonly [number, number];
  /** Where in the record the rows' d start; their dmin follow. */
  readonly factorsOffset: number;
  readonly activations: ActivationLayout;
}

export const Q4_K_RECORD: KRecord = {
  dtype: 'q4_k',
  ...kLayout({ subBlockK: 32, highBits: 0, hasMins: true }),
  levelOffset: 0,
  hasSignedScales: false,
};
export const Q5_K_RECORD: KRecord = {
  dtype: 'q5_k',
  ...kLayout({ subBlockK: 32, highBits: 1, hasMins: true }),
  levelOffset: 0,
  hasSignedScales: false,
};
export const Q6_K_RECORD: KRecord = {
  dtype: 'q6_k',
  ...kLayout({ subBlockK: 16, highBits: 2, hasMins: false }),
  levelOffset: 32,
  hasSignedScales: true,
};

function kLayout(size: { readonly subBlockK: 16 | 32; readonly highBits: 0 | 1 | 2; readonly hasMins: boolean }) {
  const { subBlockK, highBits, hasMins } = size;
  const highBytes = highBits === 0 ? 0 : 32;
  const subBytes = highBytes + subBlockK * 4;
  const start = hasMins ? 32 : 16;
  const pairBytes = start + 2 * subBytes;
  const factorsOffset = (256 / subBlockK / 2) * pairBytes;
  return {
    blockK: 256,
    byteLength: factorsOffset + (hasMins ? 32 : 16),
    subBlockK,
    highBits,
    pairBytes,
    minsOffset: hasMins ? 16 : undefined,
    highOffsets: [start, start + subBytes] as const,
    lowOffsets: [start + highBytes, start + subBytes + highBytes] as const,
    factorsOffset,
    activations: subBlockK === 32 ? K32_ACTIVATIONS : K16_ACTIVATIONS,
  };
}
