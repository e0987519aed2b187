/** What every backend on the host checks before it allocates, uploads or says what it supports, in the same words. */
import { InvalidArgumentError, QuernError, ShapeError, UnsupportedError } from '../errors.ts';
import { type DType, FLOAT_DTYPES, INTEGER_DTYPES, isFloatDType } from '../tensor/dtype.ts';
import { checkShape, type Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { checkArgs } from './check-args.ts';
import type { MemoryPurpose, MemoryUsage } from './kernel-backend.ts';
import type { OpArgs, OpName } from './ops.ts';

/** @throws UnsupportedError for a dtype that does not exist, InvalidArgumentError for a purpose or a shape. */
export function checkAllocation(dtype: DType, shape: Shape, purpose: MemoryPurpose, usage: MemoryUsage): void {
  if (!isFloatDType(dtype) && !(INTEGER_DTYPES as readonly string[]).includes(dtype)) {
    throw new UnsupportedError(`dtype ${dtype}`, `it must be ${[...FLOAT_DTYPES, ...INTEGER_DTYPES].join(', ')}`);
  }
  if (!Object.hasOwn(usage, purpose)) {
    throw new InvalidArgumentError('purpose', `must be ${Object.keys(usage).join(', ')}, got ${purpose}`);
  }
  checkShape(shape);
}

/** @returns the dtype of the values
 * @throws InvalidArgumentError when the tensor has another, ShapeError when it has too few elements. */
export function checkUpload(tensor: Tensor, values: Float32Array | Int32Array): 'f32' | 'i32' {
  const dtype = values instanceof Float32Array ? 'f32' : 'i32';
  if (tensor.dtype !== dtype) {
    throw new InvalidArgumentError('upload values', `${values.constructor.name} does not fit a tensor of ${tensor}`);
  }
  if (values.length > tensor.numElements) {
    throw new ShapeError('upload', `at most the ${tensor.numElements} values of ${tensor}`, `${values.length}`);
  }
  return dtype;
}

/** `KernelBackend.supports` of a backend that runs whatever `checkArgs` accepts. */
export function supportsWhatFits<Name extends OpName>(op: Name, args: OpArgs[Name]): true | string {
  try {
    checkArgs(op, args);
    return true;
  } catch (error) {
    if (error instanceof QuernError) return error.message;
    throw error;
  }
}
