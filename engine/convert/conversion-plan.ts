/** What a conversion is going to write, before the first byte: the metadata, and each tensor with its new format. */
import type { GgufMetadata } from '../../formats/gguf/gguf-value.ts';
import type { StoredTensor } from '../../formats/tensor-file.ts';
import type { FloatDType } from '../tensor/dtype.ts';
import type { RowOrder } from './convert-tensor.ts';

export interface PlannedTensor {
  /** Its name in the new file. */
  readonly name: string;
  readonly source: StoredTensor;
  /** The new format; absent when the bytes are copied. */
  readonly dtype?: FloatDType | undefined;
  readonly rowOrder?: RowOrder | undefined;
}

/** A tensor that the source states in its hyperparameters. Shape [values.length] f32. */
export interface DerivedTensor {
  readonly name: string;
  readonly values: Float32Array;
}

export interface ConversionPlan {
  readonly metadata: GgufMetadata;
  readonly tensors: readonly PlannedTensor[];
  readonly derived: readonly DerivedTensor[];
  /** What a person should know: a loss that cannot be avoided. */
  readonly notes: readonly string[];
}
