/** How a model's tensors travel to a worker. A message keeps shared memory shared but turns objects of a class into
 * plain ones, so a `Tensor` is taken apart here and put together there. */
import type { BufferCodec } from '../kernels/worker-backends.ts';
import type { ModelConfig } from '../model/model-config.ts';
import type { DType } from '../tensor/dtype.ts';
import type { Shape } from '../tensor/shape.ts';
import { type BufferHandle, Tensor } from '../tensor/tensor.ts';
import type { StepModel } from './step-program.ts';

/** A tensor as a plain object. */
interface TensorParts {
  readonly isTensor: true;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly byteOffset: number;
  readonly buffer: unknown;
}

/** A `StepModel` as a message. */
export interface SharedPlan {
  readonly config: ModelConfig;
  readonly weights: unknown;
  readonly memory: unknown;
}

export function encodePlan(model: StepModel, codec: BufferCodec): SharedPlan {
  const seen = new Map<BufferHandle, unknown>();
  const encodeTensor = (tensor: Tensor): TensorParts => {
    const { dtype, shape, byteOffset, buffer } = tensor;
    if (!seen.has(buffer)) seen.set(buffer, codec.encode(buffer));
    return { isTensor: true, dtype, shape, byteOffset, buffer: seen.get(buffer) };
  };
  const encode = (value: unknown): unknown =>
    value instanceof Tensor ? encodeTensor(value) : mapValues(value, encode);
  return { config: model.config, weights: encode(model.weights), memory: encode(model.memory) };
}

export function decodePlan(plan: SharedPlan, family: StepModel['family'], codec: BufferCodec): StepModel {
  const seen = new Map<unknown, BufferHandle>();
  const decodeTensor = ({ dtype, shape, byteOffset, buffer }: TensorParts): Tensor => {
    let handle = seen.get(buffer);
    if (handle === undefined) {
      handle = codec.decode(buffer);
      seen.set(buffer, handle);
    }
    return new Tensor(dtype, shape, handle, byteOffset);
  };
  const decode = (value: unknown): unknown => (isTensorParts(value) ? decodeTensor(value) : mapValues(value, decode));
  const { config, weights, memory } = plan;
  return { config, family, weights: decode(weights), memory: decode(memory) } as StepModel;
}

function isTensorParts(value: unknown): value is TensorParts {
  return typeof value === 'object' && value !== null && (value as { isTensor?: unknown }).isTensor === true;
}

/** Applies `map` to each entry of an array or a plain object; anything else is returned as it is. */
function mapValues(value: unknown, map: (value: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(map);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, map(entry)]));
}
