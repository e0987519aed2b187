/** Every tensor type that a GGUF file may name, with its size in bytes. Wider than what Quern can compute with: a file
 * that holds one IQ1_S tensor can still be listed, and the error about that tensor can say its name.
 *
 * Source: `enum ggml_type` in the GGUF specification; block layouts in ggml's `ggml-common.h`. Types 4, 5 and 31 to 33,
 * 36 to 38 were withdrawn and are unknown here. */

export interface GgmlType {
  /** Lower-case name; a `FloatDType` where Quern has a quant format of that name. */
  readonly name: string;
  /** The number that stands for it in a file. */
  readonly id: number;
  /** Elements per quant block; a row holds a whole number of them. */
  readonly blockSize: number;
  readonly bytesPerBlock: number;
}

/** name, id, blockSize, bytesPerBlock */
const TABLE: readonly (readonly [string, number, number, number])[] = [
  ['f32', 0, 1, 4],
  ['f16', 1, 1, 2],
  ['q4_0', 2, 32, 18],
  ['q4_1', 3, 32, 20],
  ['q5_0', 6, 32, 22],
  ['q5_1', 7, 32, 24],
  ['q8_0', 8, 32, 34],
  ['q8_1', 9, 32, 36], // an activation format: two f16 and 32 bytes; not meant for files
  ['q2_k', 10, 256, 84],
  ['q3_k', 11, 256, 110],
  ['q4_k', 12, 256, 144],
  ['q5_k', 13, 256, 176],
  ['q6_k', 14, 256, 210],
  ['q8_k', 15, 256, 292], // an activation format: one f32, 256 bytes, 16 sums of 16 bits
  ['iq2_xxs', 16, 256, 66],
  ['iq2_xs', 17, 256, 74],
  ['iq3_xxs', 18, 256, 98],
  ['iq1_s', 19, 256, 50],
  ['iq4_nl', 20, 32, 18],
  ['iq3_s', 21, 256, 110],
  ['iq2_s', 22, 256, 82],
  ['iq4_xs', 23, 256, 136],
  ['i8', 24, 1, 1],
  ['i16', 25, 1, 2],
  ['i32', 26, 1, 4],
  ['i64', 27, 1, 8],
  ['f64', 28, 1, 8],
  ['iq1_m', 29, 256, 56],
  ['bf16', 30, 1, 2],
  ['tq1_0', 34, 256, 54],
  ['tq2_0', 35, 256, 66],
  ['mxfp4', 39, 32, 17],
  ['nvfp4', 40, 64, 36],
  ['q1_0', 41, 128, 18],
  ['q2_0', 42, 64, 18],
];

const TYPES: readonly GgmlType[] = TABLE.map(([name, id, blockSize, bytesPerBlock]) => ({
  name,
  id,
  blockSize,
  bytesPerBlock,
}));
const BY_ID: ReadonlyMap<number, GgmlType> = new Map(TYPES.map((type) => [type.id, type]));
const BY_NAME: ReadonlyMap<string, GgmlType> = new Map(TYPES.map((type) => [type.name, type]));

export const GGML_TYPES = TYPES;

export function ggmlTypeById(id: number): GgmlType | undefined {
  return BY_ID.get(id);
}

export function ggmlTypeByName(name: string): GgmlType | undefined {
  return BY_NAME.get(name);
}
