/** `config.json` of a Hugging Face model folder, typed but not interpreted: which field means what to which model family,
 * and what stands for a missing one, is the loader's business.
 *
 * Source: the configuration classes of huggingface/transformers (LlamaConfig, Qwen2Config, Gemma2Config, ...). */
import { join } from 'node:path';
import { JsonFields } from '../json/json-fields.ts';
import type { JsonObject } from '../json/parse-json.ts';

/** Every field is undefined when the file lacks it or says `null`. */
export interface HfConfig {
  /** Where it was read from. */
  readonly file: string;
  readonly architectures: readonly string[] | undefined;
  readonly modelType: string | undefined;
  readonly hiddenSize: number | undefined;
  readonly intermediateSize: number | undefined;
  readonly numHiddenLayers: number | undefined;
  readonly numAttentionHeads: number | undefined;
  readonly numKeyValueHeads: number | undefined;
  readonly headDim: number | undefined;
  readonly vocabSize: number | undefined;
  readonly maxPositionEmbeddings: number | undefined;
  readonly rmsNormEps: number | undefined;
  readonly layerNormEps: number | undefined;
  readonly hiddenAct: string | undefined;
  readonly attentionBias: boolean | undefined;
  readonly mlpBias: boolean | undefined;
  readonly tieWordEmbeddings: boolean | undefined;
  readonly ropeTheta: number | undefined;
  readonly ropeScaling: HfRopeScaling | undefined;
  /** Share of each head that rotary embedding turns, 0 to 1. */
  readonly partialRotaryFactor: number | undefined;
  readonly slidingWindow: number | undefined;
  readonly useSlidingWindow: boolean | undefined;
  readonly attnLogitSoftcapping: number | undefined;
  readonly finalLogitSoftcapping: number | undefined;
  readonly queryPreAttnScalar: number | undefined;
  readonly bosTokenIds: readonly number[] | undefined;
  readonly eosTokenIds: readonly number[] | undefined;
  readonly torchDtype: string | undefined;
  /** `quant_method` of `quantization_config`: such weights (gptq, awq, ...) are not plain tensors. */
  readonly quantMethod: string | undefined;
  /** The whole file, for fields not named above. */
  readonly raw: JsonObject;
  /** The same with checked getters and errors that say where. */
  readonly fields: JsonFields;
}

/** `rope_scaling`, or `rope_parameters` as newer files call it. */
export interface HfRopeScaling {
  /** `rope_type`, or `type` in older files: `linear`, `dynamic`, `yarn`, `llama3`, `longrope`, `default`. */
  readonly ropeType: string | undefined;
  readonly factor: number | undefined;
  readonly lowFreqFactor: number | undefined;
  readonly highFreqFactor: number | undefined;
  readonly originalMaxPositionEmbeddings: number | undefined;
  readonly attentionFactor: number | undefined;
  readonly betaFast: number | undefined;
  readonly betaSlow: number | undefined;
}

const SIZE = { min: 1 };
const POSITIVE = { above: 0 };

/** @throws FormatError naming the field and its byte; FileAccessError when the folder has no readable `config.json`. */
export async function readHfConfig(folder: string): Promise<HfConfig> {
  const file = join(folder, 'config.json');
  const fields = await JsonFields.readFile(file);
  const rope = fields.fields('rope_parameters') ?? fields.fields('rope_scaling');
  return {
    file,
    ...readSizes(fields),
    architectures: fields.strings('architectures'),
    modelType: fields.string('model_type'),
    rmsNormEps: fields.number('rms_norm_eps', { min: 0, max: 1 }),
    layerNormEps:
      fields.number('layer_norm_eps', { min: 0, max: 1 }) ?? fields.number('layer_norm_epsilon', { min: 0, max: 1 }),
    hiddenAct: fields.string('hidden_act') ?? fields.string('hidden_activation'),
    attentionBias: fields.bool('attention_bias'),
    mlpBias: fields.bool('mlp_bias'),
    tieWordEmbeddings: fields.bool('tie_word_embeddings'),
    ropeTheta: fields.number('rope_theta', POSITIVE) ?? rope?.number('rope_theta', POSITIVE),
    ropeScaling: rope === undefined ? undefined : readRopeScaling(rope),
    partialRotaryFactor: fields.number('partial_rotary_factor', { min: 0, max: 1 }),
    useSlidingWindow: fields.bool('use_sliding_window'),
    attnLogitSoftcapping: fields.number('attn_logit_softcapping', POSITIVE),
    finalLogitSoftcapping: fields.number('final_logit_softcapping', POSITIVE),
    queryPreAttnScalar: fields.number('query_pre_attn_scalar', POSITIVE),
    bosTokenIds: fields.tokenIds('bos_token_id'),
    eosTokenIds: fields.tokenIds('eos_token_id'),
    torchDtype: fields.string('torch_dtype') ?? fields.string('dtype'),
    quantMethod: fields.fields('quantization_config')?.string('quant_method'),
    raw: fields.object,
    fields,
  };
}

function readSizes(fields: JsonFields) {
  return {
    hiddenSize: fields.int('hidden_size', SIZE),
    intermediateSize: fields.int('intermediate_size', SIZE),
    numHiddenLayers: fields.int('num_hidden_layers', SIZE),
    numAttentionHeads: fields.int('num_attention_heads', SIZE),
    numKeyValueHeads: fields.int('num_key_value_heads', SIZE),
    headDim: fields.int('head_dim', SIZE),
    vocabSize: fields.int('vocab_size', SIZE),
    maxPositionEmbeddings: fields.int('max_position_embeddings', SIZE),
    slidingWindow: fields.int('sliding_window', SIZE),
  };
}

function readRopeScaling(rope: JsonFields): HfRopeScaling {
  return {
    ropeType: rope.string('rope_type') ?? rope.string('type'),
    factor: rope.number('factor', POSITIVE),
    lowFreqFactor: rope.number('low_freq_factor', POSITIVE),
    highFreqFactor: rope.number('high_freq_factor', POSITIVE),
    originalMaxPositionEmbeddings: rope.int('original_max_position_embeddings', SIZE),
    attentionFactor: rope.number('attention_factor', POSITIVE),
    betaFast: rope.number('beta_fast', POSITIVE),
    betaSlow: rope.number('beta_slow', POSITIVE),
  };
}
