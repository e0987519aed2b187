/** A model's hyperparameters under one set of names, whatever file they came from, and the checks that make them
 * safe to compute with. Knows nothing of files; the loader fills it and turns a complaint into a `FormatError`. */
import type { RotaryConfig } from './rotary-config.ts';

export interface ModelConfig {
  /** Key into the registry of families: 'llama', 'qwen2', ... */
  readonly architecture: string;
  readonly name: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
  /** Positions the model was made for, in tokens. What a run allows is `maxModelLen`, which may be less. */
  readonly contextLength: number;
  readonly rotary: RotaryConfig;
  /** Tokens each query sees, its own included. Absent: all. */
  readonly slidingWindow?: number;
}

/** Bounds far above any published model: beyond them a file is damaged or hostile. */
const LIMITS = {
  vocabSize: 2 ** 24,
  hiddenSize: 2 ** 20,
  intermediateSize: 2 ** 22,
  numLayers: 2 ** 12,
  numHeads: 2 ** 14,
  numKvHeads: 2 ** 14,
  headDim: 2 ** 13,
  contextLength: 2 ** 31,
} as const;

/** What is wrong with a config, and in which hyperparameter. */
export interface ConfigProblem {
  readonly field: string;
  readonly problem: string;
}

/** The first rule the config breaks, or `undefined`. */
export function findConfigProblem(config: ModelConfig): ConfigProblem | undefined {
  for (const [field, limit] of Object.entries(LIMITS)) {
    const value = config[field as keyof typeof LIMITS];
    if (!Number.isSafeInteger(value) || value < 1 || value > limit) {
      return { field, problem: `${value} is not a whole number from 1 to ${limit}` };
    }
  }
  if (config.numHeads % config.numKvHeads !== 0) {
    return { field: 'numKvHeads', problem: `${config.numKvHeads} does not divide the ${config.numHeads} query heads` };
  }
  if (!(config.rmsNormEps >= 0 && config.rmsNormEps < 1)) {
    return { field: 'rmsNormEps', problem: `${config.rmsNormEps} is not a number from 0 to 1` };
  }
  if (config.slidingWindow !== undefined && !(Number.isSafeInteger(config.slidingWindow) && config.slidingWindow > 0)) {
    return { field: 'slidingWindow', problem: `${config.slidingWindow} is not a whole number from 1` };
  }
  return findRotaryProblem(config);
}

function findRotaryProblem({ rotary, headDim }: ModelConfig): ConfigProblem | undefined {
  const { numRotaryDims, theta, scaling } = rotary;
  if (!Number.isSafeInteger(numRotaryDims) || numRotaryDims < 2 || numRotaryDims % 2 !== 0 || numRotaryDims > headDim) {
    return { field: 'numRotaryDims', problem: `${numRotaryDims} is not an even number from 2 to ${headDim}` };
  }
  if (!(theta > 0 && Number.isFinite(theta))) {
    return { field: 'ropeTheta', problem: `${theta} is not a positive number` };
  }
  for (const [field, value] of Object.entries(scaling)) {
    if (typeof value === 'number' && !(value > 0 && Number.isFinite(value))) {
      return { field: `ropeScaling.${field}`, problem: `${value} is not a positive number` };
    }
  }
  return undefined;
}
