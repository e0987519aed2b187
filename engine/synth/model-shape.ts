/** Shapes of models to make up: those of published ones, and any of one's own. */
import { InvalidArgumentError } from '../errors.ts';
import { findConfigProblem, type ModelConfig } from '../model/model-config.ts';
import type { RopeScaling } from '../model/rotary-config.ts';
import { MIN_VOCAB_SIZE } from './synthetic-vocabulary.ts';

export interface ModelShape {
  readonly name: string;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  /** Tokens at the end of the vocabulary that are no text: BOS, EOS, reserved ones. At least 2. */
  readonly numSpecialTokens: number;
  readonly contextLength: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  /** The output projection is the embedding. */
  readonly tiedEmbeddings: boolean;
  /** How text is cut into words, as `tokenizer.ggml.pre` names it. */
  readonly preTokenizer: string;
}

/** Source  the `config.json` of meta-llama/Llama-3.1-8B, meta-llama/Llama-3.2-1B and HuggingFaceTB/SmolLM2-135M. `tiny` is
 * nobody's: small, with rows that every quant block fills. */
export const MODEL_SHAPES: readonly ModelShape[] = [
  {
    name: 'llama-3.1-8b',
    hiddenSize: 4096,
    intermediateSize: 14_336,
    numLayers: 32,
    numHeads: 32,
    numKvHeads: 8,
    headDim: 128,
    vocabSize: 128_256,
    numSpecialTokens: 256,
    contextLength: 131_072,
    rmsNormEps: 1e-5,
    ropeTheta: 500_000,
    ropeScaling: { kind: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContextLength: 8192 },
    tiedEmbeddings: false,
    preTokenizer: 'llama-bpe',
  },
  {
    name: 'llama-3.2-1b',
    hiddenSize: 2048,
    intermediateSize: 8192,
    numLayers: 16,
    numHeads: 32,
    numKvHeads: 8,
    headDim: 64,
    vocabSize: 128_256,
    numSpecialTokens: 256,
    contextLength: 131_072,
    rmsNormEps: 1e-5,
    ropeTheta: 500_000,
    ropeScaling: { kind: 'llama3', factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalContextLength: 8192 },
    tiedEmbeddings: true,
    preTokenizer: 'llama-bpe',
  },
  {
    name: 'smollm2-135m',
    hiddenSize: 576,
    intermediateSize: 1536,
    numLayers: 30,
    numHeads: 9,
    numKvHeads: 3,
    headDim: 64,
    vocabSize: 49_152,
    numSpecialTokens: 17,
    contextLength: 8192,
    rmsNormEps: 1e-5,
    ropeTheta: 100_000,
    ropeScaling: { kind: 'none' },
    tiedEmbeddings: true,
    preTokenizer: 'smollm',
  },
  {
    name: 'tiny',
    hiddenSize: 256,
    intermediateSize: 512,
    numLayers: 2,
    numHeads: 8,
    numKvHeads: 4,
    headDim: 32,
    vocabSize: 1024,
    numSpecialTokens: 2,
    contextLength: 512,
    rmsNormEps: 1e-5,
    ropeTheta: 10_000,
    ropeScaling: { kind: 'none' },
    tiedEmbeddings: true,
    preTokenizer: 'gpt-2',
  },
];

export type ShapeOverrides = { readonly [K in keyof ModelShape]?: ModelShape[K] | undefined };

/** A published shape with some sizes changed. Without a `headDim` of its own, one is chosen so that the heads together are
 * as wide as the model when its width or its heads change.
 * @throws InvalidArgumentError for an unknown name or sizes that do not fit together */
export function resolveShape(name: string, overrides: ShapeOverrides = {}): ModelShape {
  const base = MODEL_SHAPES.find((shape) => shape.name === name);
  if (base === undefined) {
    throw new InvalidArgumentError(
      'shape',
      `'${name}' is none of ${MODEL_SHAPES.map((shape) => shape.name).join(', ')}`,
    );
  }
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  const shape: ModelShape = { ...base, ...given };
  const widthChanged = overrides.hiddenSize !== undefined || overrides.numHeads !== undefined;
  const headDim = overrides.headDim ?? (widthChanged ? shape.hiddenSize / shape.numHeads : shape.headDim);
  const resolved = { ...shape, headDim };
  if (headDim % 2 === 1)
    throw new InvalidArgumentError('headDim', `${headDim} is odd, and positions turn pairs of dimensions`);
  const found = findConfigProblem(shapeConfig(resolved));
  if (found !== undefined) throw new InvalidArgumentError(found.field, found.problem);
  checkVocabSize(resolved);
  return resolved;
}

/** Every token of a made-up vocabulary is held in memory while the file is written; published ones have up to 262,144. */
const MAX_VOCAB_SIZE = 2 ** 20;

function checkVocabSize({ vocabSize, numSpecialTokens }: ModelShape): void {
  const minVocabSize = MIN_VOCAB_SIZE + numSpecialTokens;
  if (vocabSize < minVocabSize) {
    throw new InvalidArgumentError(
      'vocabSize',
      `${vocabSize} is below ${minVocabSize}: one token for each byte, and ${numSpecialTokens} special ones`,
    );
  }
  if (vocabSize > MAX_VOCAB_SIZE)
    throw new InvalidArgumentError('vocabSize', `${vocabSize} is above ${MAX_VOCAB_SIZE}`);
}

/** The same in the engine's words. GGUF's Llama rotates neighbouring dimensions. */
export function shapeConfig(shape: ModelShape): ModelConfig {
  const { hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim, vocabSize } = shape;
  return {
    architecture: 'llama',
    name: shape.name,
    ...{ hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim, vocabSize },
    contextLength: shape.contextLength,
    rmsNormEps: shape.rmsNormEps,
    rotary: { style: 'interleaved', numRotaryDims: headDim, theta: shape.ropeTheta, scaling: shape.ropeScaling },
  };
}
