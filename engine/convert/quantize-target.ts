/** What a file can be quantized to: one format for all matrices, or a mix of two. Names and numbers of mixes are those
 * that llama.cpp's tools use, so that other programs show them right.
 *
 * Source  `enum llama_ftype` in llama.cpp's `llama.h` */
import { InvalidArgumentError } from '../errors.ts';
import type { FloatDType } from '../tensor/dtype.ts';

export interface QuantizeTarget {
  readonly name: string;
  /** The format of most matrices. */
  readonly dtype: FloatDType;
  /** What `general.file_type` says: a hint for people, every tensor has its own type. */
  readonly fileType: number;
  /** A mix: the matrices that suffer most from rounding get a finer format. See `weight-type-policy.ts`. */
  readonly isMix: boolean;
}

const plain = (dtype: FloatDType, fileType: number): QuantizeTarget => ({ name: dtype, dtype, fileType, isMix: false });

export const QUANTIZE_TARGETS: readonly QuantizeTarget[] = [
  plain('f32', 0),
  plain('f16', 1),
  plain('bf16', 32),
  plain('q4_0', 2),
  plain('q4_1', 3),
  plain('q5_0', 8),
  plain('q5_1', 9),
  plain('q8_0', 7),
  plain('q4_k', 14),
  plain('q5_k', 16),
  plain('q6_k', 18),
  { name: 'q4_k_m', dtype: 'q4_k', fileType: 15, isMix: true },
  { name: 'q5_k_m', dtype: 'q5_k', fileType: 17, isMix: true },
];

/** Any case: `Q4_K_M` is what other tools print.
 * @throws InvalidArgumentError listing the names */
export function findQuantizeTarget(name: string): QuantizeTarget {
  const found = QUANTIZE_TARGETS.find((target) => target.name === name.toLowerCase());
  if (found !== undefined) return found;
  const names = QUANTIZE_TARGETS.map((target) => target.name).join(', ');
  throw new InvalidArgumentError('type', `'${name}' is none of ${names}`);
}
