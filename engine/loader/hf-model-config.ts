/** Reads a model's hyperparameters from a Hugging Face `config.json`.
 *
 * Source  LlamaConfig, MistralConfig and Qwen2Config of huggingface/transformers, their defaults included */
import type { HfConfig, HfRopeScaling } from '../../formats/hf/hf-config.ts';
import { UnsupportedError } from '../errors.ts';
import { findConfigProblem, type ModelConfig } from '../model/model-config.ts';
import { findModelFamily } from '../model/model-registry.ts';
import { yarnAttentionFactor } from '../model/rotary.ts';
import type { RopeScaling } from '../model/rotary-config.ts';

/** Which field of the file feeds a hyperparameter, so that a complaint names the field. */
const FIELDS: Readonly<Record<string, string>> = {
  vocabSize: 'vocab_size',
  hiddenSize: 'hidden_size',
  intermediateSize: 'intermediate_size',
  numLayers: 'num_hidden_layers',
  numHeads: 'num_attention_heads',
  numKvHeads: 'num_key_value_heads',
  headDim: 'head_dim',
  rmsNormEps: 'rms_norm_eps',
  contextLength: 'max_position_embeddings',
  slidingWindow: 'sliding_window',
  ropeTheta: 'rope_theta',
  numRotaryDims: 'head_dim',
};

/** @throws FormatError naming the field, UnsupportedError for an architecture or a feature Quern lacks */
export function readHfModelConfig(hf: HfConfig): ModelConfig {
  const architecture = required(hf, 'modelType', 'model_type');
  findModelFamily(architecture);
  refuseUnknownFeatures(hf);
  const hiddenSize = required(hf, 'hiddenSize', 'hidden_size');
  const numHeads = required(hf, 'numAttentionHeads', 'num_attention_heads');
  const headDim = hf.headDim ?? hiddenSize / numHeads;
  const contextLength = hf.maxPositionEmbeddings ?? 2048;
  const numLayers = required(hf, 'numHiddenLayers', 'num_hidden_layers');
  const usesWindow = hf.slidingWindow !== undefined && hasWindow(hf, architecture, numLayers);
  const config: ModelConfig = {
    architecture,
    name: hf.architectures?.[0] ?? architecture,
    vocabSize: required(hf, 'vocabSize', 'vocab_size'),
    hiddenSize,
    intermediateSize: required(hf, 'intermediateSize', 'intermediate_size'),
    numLayers,
    numHeads,
    numKvHeads: hf.numKeyValueHeads ?? numHeads,
    headDim,
    rmsNormEps: hf.rmsNormEps ?? 1e-6,
    contextLength,
    rotary: {
      style: 'neox',
      numRotaryDims: headDim,
      theta: hf.ropeTheta ?? 10000,
      scaling: readScaling(hf, contextLength),
    },
    ...(usesWindow ? { slidingWindow: hf.slidingWindow! } : {}),
  };
  const found = findConfigProblem(config);
  if (found !== undefined) throw hf.fields.fail(FIELDS[found.field] ?? found.field, found.problem);
  return config;
}

/** Llama has no window, Mistral has one whenever it names it, Qwen2 when asked for and then beyond its first
 * `max_window_layers`. Newer files say it layer by layer. Quern's graph has one kind of attention for all layers. */
function hasWindow(hf: HfConfig, architecture: string, numLayers: number): boolean {
  const types = hf.fields.strings('layer_types') ?? [];
  if (types.length > 0) return isForAll(hf, types.filter((type) => type === 'sliding_attention').length, types.length);
  if (architecture !== 'qwen2') return architecture === 'mistral';
  if (hf.useSlidingWindow !== true) return false;
  const numFull = hf.fields.int('max_window_layers', { min: 0 }) ?? QWEN2_MAX_WINDOW_LAYERS;
  return isForAll(hf, Math.max(0, numLayers - numFull), numLayers);
}

/** What `Qwen2Config` has where a file says nothing. */
const QWEN2_MAX_WINDOW_LAYERS = 28;

function isForAll(hf: HfConfig, numWithWindow: number, numLayers: number): boolean {
  if (numWithWindow === 0 || numWithWindow === numLayers) return numWithWindow > 0;
  throw new UnsupportedError(
    `${hf.file}: a sliding window in ${numWithWindow} of ${numLayers} layers`,
    'all layers must attend alike',
  );
}

function required<K extends keyof HfConfig>(hf: HfConfig, key: K, field: string): NonNullable<HfConfig[K]> {
  const value = hf[key];
  if (value === undefined || value === null) throw hf.fields.fail(field, 'the field is missing');
  return value;
}

function refuseUnknownFeatures(hf: HfConfig): void {
  const refuse = (what: string, reason: string): never => {
    throw new UnsupportedError(`${hf.file}: ${what}`, reason);
  };
  if (hf.quantMethod !== undefined) refuse(`quantization '${hf.quantMethod}'`, 'its weights are not plain tensors');
  if (hf.hiddenAct !== undefined && hf.hiddenAct !== 'silu') refuse(`activation '${hf.hiddenAct}'`, 'known is silu');
  if (hf.partialRotaryFactor !== undefined && hf.partialRotaryFactor !== 1) {
    refuse('partial_rotary_factor', 'this family rotates whole heads');
  }
  if (hf.attnLogitSoftcapping !== undefined || hf.finalLogitSoftcapping !== undefined) {
    refuse('logit soft-capping', 'this family has none');
  }
}

function readScaling(hf: HfConfig, contextLength: number): RopeScaling {
  const rope = hf.ropeScaling;
  const kind = rope?.ropeType ?? 'default';
  if (rope === undefined || kind === 'default') return { kind: 'none' };
  const factor = needed(hf, rope, 'factor', 'factor');
  switch (kind) {
    case 'linear':
      return { kind: 'linear', factor };
    case 'llama3':
      return {
        kind: 'llama3',
        factor,
        lowFreqFactor: needed(hf, rope, 'lowFreqFactor', 'low_freq_factor'),
        highFreqFactor: needed(hf, rope, 'highFreqFactor', 'high_freq_factor'),
        originalContextLength: needed(hf, rope, 'originalMaxPositionEmbeddings', 'original_max_position_embeddings'),
      };
    case 'yarn':
      return {
        kind: 'yarn',
        factor,
        originalContextLength: rope.originalMaxPositionEmbeddings ?? contextLength,
        betaFast: rope.betaFast ?? 32,
        betaSlow: rope.betaSlow ?? 1,
        attentionFactor: rope.attentionFactor ?? yarnAttentionFactor(factor),
      };
    default:
      throw new UnsupportedError(`${hf.file}: rope scaling '${kind}'`, 'known are default, linear, llama3, yarn');
  }
}

function needed(hf: HfConfig, rope: HfRopeScaling, key: keyof HfRopeScaling, field: string): number {
  const value = rope[key];
  if (typeof value !== 'number') throw hf.fields.fail('rope_scaling', `needs ${field} for type '${rope.ropeType}'`);
  return value;
}
