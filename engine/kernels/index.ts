/** `quern/kernels`: run single ops by hand. See docs/kernels.md for an example. */
export type { DType, FloatDType, IntegerDType } from '../tensor/dtype.ts';
export { FLOAT_DTYPES, INTEGER_DTYPES, isFloatDType } from '../tensor/dtype.ts';
export type { QuantFormat } from '../tensor/quant/quant-format.ts';
export { quantFormat } from '../tensor/quant/quant-registry.ts';
export type { Shape } from '../tensor/shape.ts';
export { byteLengthOf, bytesPerRow } from '../tensor/storage.ts';
export { type BufferHandle, Tensor } from '../tensor/tensor.ts';
export {
  BACKENDS,
  type BackendEntry,
  type BackendOptions,
  createBackend,
  type ProbeResult,
  probeBackends,
} from './backend-registry.ts';
export { checkArgs } from './check-args.ts';
export type {
  FeatureState,
  KernelBackend,
  KernelOps,
  MemoryPurpose,
  MemoryUsage,
  ReadRange,
} from './kernel-backend.ts';
export * from './ops.ts';
export { ReferenceBackend } from './reference/reference-backend.ts';
