/** How packed weights lie. 8 rows of a weight are a group; a group is a run of records; a record holds `blockK` elements
 * of all 8 rows in the order in which the kernel uses them, so that a matmul reads its weight from first byte to last,
 * as fast as memory can deliver. The same bits per weight as in the file; rows past the last are zeros.
 *
 *   weight = group 0 | group 1 | ...       group = record of k 0..31 | record of k 32..63 | ...
 *
 *   Q8_0, 272 bytes     16 chunks of 16 bytes                                        8 scales (f16)
 *     chunk c           | r0 k2c | r0 k2c+1 | r1 k2c | r1 k2c+1 | ... | r7 k2c+1 |   | r0 | r1 | ... | r7 |
 *
 *   Q4_0, 144 bytes     4 chunks of 32 bytes, 4 bytes per row                        8 scales (f16)
 *     byte j of row r   low nibble k = 4c + j, high nibble k = 16 + 4c + j           | r0 | r1 | ... | r7 |
 *
 *   F32, F16, BF16      one element of each row for each k:  | r0 | r1 | ... | r7 |
 *                       four k to a record; K is filled up with zeros to a multiple of 4 */

export interface RecordLayout {
  /** Elements of each row in a record. */
  readonly blockK: number;
  readonly byteLength: number;
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
export const HALF_RECORD: FloatRecord = { blockK: 4, byteLength: 64, bytesPerElement: 2 };
