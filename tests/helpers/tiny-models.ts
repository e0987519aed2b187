/** Models of random weights, small enough to write, load and run in milliseconds, of every shape that the Llama graph
 * allows: grouped queries, odd head sizes, sliding windows, tied or own output weights, any weight format. They say
 * nothing; but their logits depend on every token before, and that is what the tests need. */
import fc from 'fast-check';
import { GGUF_NAMES, layerWeightName } from '../../engine/loader/weight-names.ts';
import { llama } from '../../engine/model/architectures/llama.ts';
import type { ModelConfig } from '../../engine/model/model-config.ts';
import type { LayerRole, ModelRole, WeightSpec } from '../../engine/model/weights.ts';
import type { FloatDType } from '../../engine/tensor/dtype.ts';
import { quantFormat } from '../../engine/tensor/quant/quant-registry.ts';
import { BYTE_TO_CHAR } from '../../engine/tokenizer/byte-alphabet.ts';
import { Rng } from '../../engine/util/rng.ts';
import { type GgufMetadata, type GgufValue, gguf } from '../../formats/gguf/gguf-value.ts';
import { writeGguf } from '../../formats/gguf/write-gguf.ts';
import type { TensorSource } from '../../formats/tensor-source.ts';

export interface TinyModelShape {
  readonly seed: number;
  readonly numLayers: number;
  readonly numKvHeads: number;
  /** Query heads per KV head. */
  readonly groupSize: number;
  /** Even. */
  readonly headDim: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly contextLength: number;
  readonly slidingWindow: number | undefined;
  readonly dtype: FloatDType;
  /** No output weights of its own: the embedding serves. */
  readonly isTied: boolean;
  /** A token whose embedding is NaN, so that everything computed from it is. Needs f32 and `isTied: false`. */
  readonly nanToken?: number;
}

/** The bytes, one merge so that not every token is a byte, BOS and EOS. */
const TOKENS = [...BYTE_TO_CHAR, 'th', '<s>', '</s>'];
const NUM_TEXT_TOKENS = TOKENS.length - 2;

/** Tokens of every tiny model. Ids below 256 are not the bytes' values, but `BYTE_TO_CHAR`'s order. */
export const TINY_VOCAB_SIZE = TOKENS.length;
export const TINY_BOS = NUM_TEXT_TOKENS;
export const TINY_EOS = NUM_TEXT_TOKENS + 1;

/** What most tests run, unless the shape is what they are about. */
export const TINY: TinyModelShape = {
  seed: 1,
  numLayers: 2,
  numKvHeads: 1,
  groupSize: 2,
  headDim: 8,
  hiddenSize: 16,
  intermediateSize: 24,
  contextLength: 512,
  slidingWindow: undefined,
  dtype: 'f32',
  isTied: false,
};

export async function writeTinyModel(path: string, shape: TinyModelShape = TINY): Promise<void> {
  await writeGguf(path, { metadata: metadataOf(shape), tensors: tensorsOf(shape) });
}

/** Shapes at random. Rows of quantized formats are whole quant blocks; all others may have odd sizes. */
export function tinyModelShapes(contextLength: number): fc.Arbitrary<TinyModelShape> {
  return fc.constantFrom<FloatDType>('f32', 'f16', 'bf16', 'q8_0', 'q4_0').chain((dtype) => {
    const { blockSize } = quantFormat(dtype);
    const rows = (max: number): fc.Arbitrary<number> =>
      blockSize === 1
        ? fc.integer({ min: 3, max })
        : fc.integer({ min: 1, max: Math.ceil(max / blockSize) }).map((n) => n * blockSize);
    return fc.record({
      seed: fc.nat(2 ** 31 - 1),
      numLayers: fc.integer({ min: 1, max: 3 }),
      numKvHeads: fc.integer({ min: 1, max: 3 }),
      groupSize: fc.integer({ min: 1, max: 3 }),
      headDim: blockSize === 1 ? fc.integer({ min: 1, max: 8 }).map((n) => 2 * n) : fc.constantFrom(32),
      hiddenSize: rows(33),
      intermediateSize: rows(40),
      contextLength: fc.constant(contextLength),
      slidingWindow: fc.option(fc.integer({ min: 1, max: contextLength }), { nil: undefined }),
      dtype: fc.constant(dtype),
      isTied: fc.boolean(),
    });
  });
}

function metadataOf(shape: TinyModelShape): GgufMetadata {
  const { numKvHeads, groupSize, headDim, slidingWindow } = shape;
  const entries: [string, GgufValue][] = [
    ['general.architecture', gguf.string('llama')],
    ['llama.block_count', gguf.uint32(shape.numLayers)],
    ['llama.context_length', gguf.uint32(shape.contextLength)],
    ['llama.embedding_length', gguf.uint32(shape.hiddenSize)],
    ['llama.feed_forward_length', gguf.uint32(shape.intermediateSize)],
    ['llama.attention.head_count', gguf.uint32(numKvHeads * groupSize)],
    ['llama.attention.head_count_kv', gguf.uint32(numKvHeads)],
    ['llama.attention.key_length', gguf.uint32(headDim)],
    ['llama.attention.value_length', gguf.uint32(headDim)],
    ['llama.rope.dimension_count', gguf.uint32(headDim)],
    ['llama.attention.layer_norm_rms_epsilon', gguf.float32(1e-5)],
    ['tokenizer.ggml.model', gguf.string('gpt2')],
    ['tokenizer.ggml.pre', gguf.string('gpt-2')],
    ['tokenizer.ggml.tokens', gguf.strings(TOKENS)],
    ['tokenizer.ggml.token_type', gguf.int32s(TOKENS.map((_, id) => (id < NUM_TEXT_TOKENS ? 1 : 3)))],
    ['tokenizer.ggml.merges', gguf.strings(['t h'])],
    ['tokenizer.ggml.bos_token_id', gguf.uint32(TINY_BOS)],
    ['tokenizer.ggml.eos_token_id', gguf.uint32(TINY_EOS)],
    ['tokenizer.ggml.add_bos_token', gguf.bool(true)],
  ];
  if (slidingWindow !== undefined) entries.push(['llama.attention.sliding_window', gguf.uint32(slidingWindow)]);
  return new Map(entries);
}

function* tensorsOf(shape: TinyModelShape): Generator<TensorSource> {
  const config = configOf(shape);
  const rng = Rng.fromSeed(shape.seed);
  const isWanted = ({ role }: WeightSpec): boolean => role !== 'lmHead' || !shape.isTied;
  for (const spec of llama.modelWeights.filter(isWanted)) {
    yield tensor(GGUF_NAMES.model[spec.role as ModelRole], spec, { config, shape, rng });
  }
  for (let layer = 0; layer < shape.numLayers; layer++) {
    for (const spec of llama.layerWeights.filter(({ optional }) => optional !== true)) {
      yield tensor(layerWeightName(GGUF_NAMES, spec.role as LayerRole, layer), spec, { config, shape, rng });
    }
  }
}

function tensor(
  name: string,
  spec: WeightSpec,
  model: { readonly config: ModelConfig; readonly shape: TinyModelShape; readonly rng: Rng },
): TensorSource {
  const sizes = spec.shape(model.config);
  const numElements = sizes.reduce((product, size) => product * size, 1);
  const dtype = spec.kind === 'matrix' ? model.shape.dtype : 'f32';
  // Large enough that distributions have peaks and attention looks at some keys more than at others.
  const scale = spec.kind === 'matrix' ? 3 / Math.sqrt(sizes.at(-1)!) : 0.5;
  const centre = spec.kind === 'matrix' ? 0 : 1;
  const values = Float32Array.from({ length: numElements }, () => centre + scale * (2 * model.rng.nextFloat() - 1));
  const { nanToken } = model.shape;
  if (spec.role === 'embedTokens' && nanToken !== undefined) {
    values.fill(Number.NaN, nanToken * sizes[1]!, (nanToken + 1) * sizes[1]!);
  }
  const { blockSize, bytesPerBlock, quantize } = quantFormat(dtype);
  const bytes = new Uint8Array((numElements / blockSize) * bytesPerBlock);
  quantize!(values, 0, bytes, 0, numElements / blockSize);
  return { name, dtype, shape: sizes, data: () => bytes };
}

function configOf(shape: TinyModelShape): ModelConfig {
  const { numKvHeads, groupSize, headDim, slidingWindow, contextLength } = shape;
  const { hiddenSize, intermediateSize, numLayers } = shape;
  return {
    architecture: 'llama',
    name: 'tiny',
    vocabSize: TINY_VOCAB_SIZE,
    hiddenSize,
    intermediateSize,
    numLayers,
    numHeads: numKvHeads * groupSize,
    numKvHeads,
    headDim,
    rmsNormEps: 1e-5,
    contextLength,
    rotary: { style: 'interleaved', numRotaryDims: headDim, theta: 10000, scaling: { kind: 'none' } },
    ...(slidingWindow === undefined ? {} : { slidingWindow }),
  };
}
