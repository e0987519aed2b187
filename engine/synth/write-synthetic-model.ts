/** Writes a model of random weights as a GGUF file: the shape of a real one, its speed and its memory, and nothing to say.
 * For tests and benchmarks that must not wait for a download. */
import { type GgufValue, gguf } from '../../formats/gguf/gguf-value.ts';
import { writeGguf } from '../../formats/gguf/write-gguf.ts';
import type { TensorSource } from '../../formats/tensor-source.ts';
import { ggufHyperparameters, ropeFactors } from '../convert/gguf-hyperparameters.ts';
import { quantizationKeys } from '../convert/plan-gguf.ts';
import { findQuantizeTarget, type QuantizeTarget } from '../convert/quantize-target.ts';
import { chooseWeightType, type WeightTypeContext } from '../convert/weight-type-policy.ts';
import { AbortError } from '../errors.ts';
import type { LoadProgress } from '../loader/load-weights.ts';
import { GGUF_NAMES, layerWeightName } from '../loader/weight-names.ts';
import type { ModelConfig } from '../model/model-config.ts';
import { findModelFamily } from '../model/model-registry.ts';
import type { LayerRole, ModelRole, WeightSpec } from '../model/weights.ts';
import type { FloatDType } from '../tensor/dtype.ts';
import { numElements, rowSize, type Shape } from '../tensor/shape.ts';
import { byteLengthOf } from '../tensor/storage.ts';
import { type ModelShape, shapeConfig } from './model-shape.ts';
import { type Distribution, RandomWeights } from './random-weights.ts';
import { syntheticVocabulary } from './synthetic-vocabulary.ts';

export interface SynthOptions {
  /** A name from `QUANTIZE_TARGETS`. */
  readonly type: string;
  /** Any safe integer. The same shape, type and seed give the same bytes. */
  readonly seed: number;
  /** Every matrix in the target's format. Default false. */
  readonly pure?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of tensor data, written and in all. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

export interface SynthResult {
  readonly numParameters: number;
  /** Bytes of tensor data. */
  readonly numBytes: number;
  readonly tensorsByType: Readonly<Record<string, number>>;
}

interface SyntheticTensor {
  readonly name: string;
  readonly dtype: FloatDType;
  readonly shape: Shape;
  readonly kind: 'matrix' | 'vector';
}

/** @throws InvalidArgumentError for an unknown type or an output that cannot be written; AbortError by `signal`. Nothing is
 * left behind then. */
export async function writeSyntheticModel(
  output: string,
  shape: ModelShape,
  options: SynthOptions,
): Promise<SynthResult> {
  const target = findQuantizeTarget(options.type);
  const config = shapeConfig(shape);
  const tensors = listTensors(config, {
    target,
    isPure: options.pure === true,
    isTied: shape.tiedEmbeddings,
    numLayers: config.numLayers,
  });
  const factors = ropeFactors(config);
  const numBytes = tensors.reduce((sum, { dtype, shape }) => sum + byteLengthOf(dtype, shape), 0);
  await writeGguf(output, {
    metadata: metadataOf(config, shape, target),
    tensors: [...ropeTensor(factors), ...weightSources(tensors, numBytes, options)],
  });
  return {
    numParameters: tensors.reduce((sum, { shape }) => sum + numElements(shape), 0),
    numBytes,
    tensorsByType: countTypes(tensors),
  };
}

function metadataOf(config: ModelConfig, shape: ModelShape, target: QuantizeTarget): Map<string, GgufValue> {
  return new Map<string, GgufValue>([
    ['general.architecture', gguf.string(config.architecture)],
    ['general.type', gguf.string('model')],
    ['general.name', gguf.string(`synthetic ${shape.name}`)],
    ['general.description', gguf.string('Random weights, for tests and benchmarks.')],
    ...quantizationKeys(target),
    ...ggufHyperparameters(config, config.architecture),
    ...syntheticVocabulary(shape.vocabSize, shape.numSpecialTokens, shape.preTokenizer),
  ]);
}

function listTensors(config: ModelConfig, context: WeightTypeContext): SyntheticTensor[] {
  const family = findModelFamily(config.architecture);
  const tensors: SyntheticTensor[] = [];
  const add = ({ kind, shape: shapeOf }: WeightSpec, name: string): void => {
    const shape = shapeOf(config);
    tensors.push({ name, kind, shape, dtype: chooseWeightType(name, shape, context) ?? 'f32' });
  };
  const isWanted = ({ role, optional }: WeightSpec): boolean =>
    optional !== true || (role === 'lmHead' && !context.isTied);
  for (const spec of family.modelWeights.filter(isWanted)) add(spec, GGUF_NAMES.model[spec.role as ModelRole]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const spec of family.layerWeights.filter(isWanted)) {
      add(spec, layerWeightName(GGUF_NAMES, spec.role as LayerRole, layer));
    }
  }
  return tensors;
}

function* ropeTensor(factors: Float32Array | undefined): Generator<TensorSource> {
  if (factors === undefined) return;
  yield {
    name: GGUF_NAMES.ropeFactors!,
    dtype: 'f32',
    shape: [factors.length],
    data: () => new Uint8Array(factors.buffer),
  };
}

function* weightSources(
  tensors: readonly SyntheticTensor[],
  totalBytes: number,
  { seed, signal, onProgress }: SynthOptions,
): Generator<TensorSource> {
  const weights = new RandomWeights(seed);
  let loadedBytes = 0;
  for (const { name, dtype, shape, kind } of tensors) {
    yield {
      name,
      dtype,
      shape,
      *data() {
        for (const chunk of weights.chunks(dtype, shape, distributionOf(kind, shape))) {
          if (signal?.aborted) throw new AbortError(signal.reason);
          yield chunk;
          loadedBytes += chunk.length;
          onProgress?.({ loadedBytes, totalBytes });
        }
      },
    };
  }
}

/** Matrices keep the size of what goes through them: a row of n weights of variance 1/n gives a sum as large as its inputs
 * (LeCun et al. 1998, "Efficient BackProp", section 4.6). With the embedding so too, logits have a variance of about 1.
 * Norms are close to 1. */
function distributionOf(kind: 'matrix' | 'vector', shape: Shape): Distribution {
  if (kind === 'vector') return { mean: 1, standardDeviation: 0.05 };
  return { mean: 0, standardDeviation: 1 / Math.sqrt(rowSize(shape)) };
}

function countTypes(tensors: readonly SyntheticTensor[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { dtype } of tensors) counts[dtype] = (counts[dtype] ?? 0) + 1;
  return counts;
}
