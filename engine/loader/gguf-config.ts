/** Reads a model's hyperparameters from GGUF metadata. Nothing here allocates by what the file says.
 *
 * Source  gguf-spec.md, sections "LLM", "Attention", "RoPE"; llama.cpp's `llama-arch.cpp` for the yarn keys */

import type { GgufFields } from '../../formats/gguf/gguf-fields.ts';
import type { GgufFile } from '../../formats/gguf/open-gguf.ts';
import { UnsupportedError } from '../errors.ts';
import type { RopeStyle } from '../kernels/ops.ts';
import { findConfigProblem, type ModelConfig } from '../model/model-config.ts';
import { findModelFamily } from '../model/model-registry.ts';
import { yarnAttentionFactor } from '../model/rotary.ts';
import type { RopeScaling, RotaryConfig } from '../model/rotary-config.ts';
import { GGUF_NAMES } from './weight-names.ts';

/** How each architecture's weights expect heads to be rotated. Converters permute Llama's q and k so that pairs are
 * neighbours; Qwen2's stay in halves. */
const ROPE_STYLES: Readonly<Record<string, RopeStyle>> = {
  llama: 'interleaved',
  mistral: 'interleaved',
  qwen2: 'neox',
};

/** Which metadata key feeds a hyperparameter, so that a complaint names the key. `{arch}` is the architecture. */
const KEYS: Readonly<Record<string, string>> = {
  vocabSize: '{arch}.vocab_size',
  hiddenSize: '{arch}.embedding_length',
  intermediateSize: '{arch}.feed_forward_length',
  numLayers: '{arch}.block_count',
  numHeads: '{arch}.attention.head_count',
  numKvHeads: '{arch}.attention.head_count_kv',
  headDim: '{arch}.attention.key_length',
  rmsNormEps: '{arch}.attention.layer_norm_rms_epsilon',
  contextLength: '{arch}.context_length',
  slidingWindow: '{arch}.attention.sliding_window',
  numRotaryDims: '{arch}.rope.dimension_count',
  ropeTheta: '{arch}.rope.freq_base',
};

/** @param ropeFactors  the values of `rope_freqs.weight`, where the file has it
 * @throws FormatError naming the metadata key, UnsupportedError for an architecture or a feature Quern lacks */
export function readGgufConfig(file: GgufFile, path: string, ropeFactors: readonly number[] | undefined): ModelConfig {
  const { fields } = file;
  const architecture = fields.string('general.architecture');
  findModelFamily(architecture);
  const key = (name: string): string => `${architecture}.${name}`;
  refuseUnknownFeatures(fields, key, path);

  const hiddenSize = fields.uint(key('embedding_length'));
  const numHeads = uniformUint(file, key('attention.head_count'));
  const headDim = fields.uint(key('attention.key_length'), numHeads > 0 ? hiddenSize / numHeads : 0);
  const valueDim = fields.uint(key('attention.value_length'), headDim);
  if (valueDim !== headDim) {
    throw new UnsupportedError(`${path}: value heads of ${valueDim}`, `keys have ${headDim}; Quern needs them equal`);
  }
  const slidingWindow = fields.uint(key('attention.sliding_window'), 0);
  const config: ModelConfig = {
    architecture,
    name: fields.string('general.name', architecture),
    vocabSize: fields.uint(key('vocab_size'), vocabSizeFromEmbedding(file)),
    hiddenSize,
    intermediateSize: uniformUint(file, key('feed_forward_length')),
    numLayers: fields.uint(key('block_count')),
    numHeads,
    numKvHeads: uniformUint(file, key('attention.head_count_kv'), numHeads),
    headDim,
    rmsNormEps: fields.float(key('attention.layer_norm_rms_epsilon')),
    contextLength: fields.uint(key('context_length')),
    rotary: readRotary(fields, key, { architecture, headDim, ropeFactors, path }),
    ...(slidingWindow > 0 ? { slidingWindow } : {}),
  };
  const found = findConfigProblem(config);
  if (found !== undefined) {
    throw fields.fail((KEYS[found.field] ?? `{arch}.${found.field}`).replace('{arch}', architecture), found.problem);
  }
  return config;
}

function vocabSizeFromEmbedding(file: GgufFile): number {
  return file.tensors.get(GGUF_NAMES.model.embedTokens)?.shape[0] ?? 0;
}

/** Some files store one value per layer. Quern's graphs have one value for all. */
function uniformUint({ fields, metadata }: GgufFile, key: string, fallback?: number): number {
  if (metadata.get(key)?.type !== 'array') return fields.uint(key, fallback);
  const values = fields.uints(key);
  const first = values[0];
  if (first === undefined) throw fields.fail(key, 'is an empty array');
  for (let i = 1; i < values.length; i++) {
    if (values[i] !== first)
      throw fields.fail(key, `differs between layers (${first}, ${values[i]}), which is not supported`);
  }
  return first;
}

function refuseUnknownFeatures(fields: GgufFields, key: (name: string) => string, path: string): void {
  if (fields.uint(key('expert_count'), 0) > 0) {
    throw new UnsupportedError(`${path}: mixture of experts`, `${key('expert_count')} is set`);
  }
  for (const name of [
    'attn_logit_softcapping',
    'logit_scale',
    'residual_scale',
    'embedding_scale',
    'attention.scale',
  ]) {
    if (fields.float(key(name), 0) !== 0) {
      throw new UnsupportedError(`${path}: ${key(name)}`, 'this graph has no place for it');
    }
  }
}

interface RotaryContext {
  readonly architecture: string;
  readonly headDim: number;
  readonly ropeFactors: readonly number[] | undefined;
  readonly path: string;
}

function readRotary(fields: GgufFields, key: (name: string) => string, context: RotaryContext): RotaryConfig {
  const numRotaryDims = fields.uint(key('rope.dimension_count'), context.headDim);
  const scaling = readScaling(fields, key, context);
  if (scaling.kind === 'factors' && scaling.factors.length !== numRotaryDims / 2) {
    throw fields.fail(
      GGUF_NAMES.ropeFactors!,
      `${scaling.factors.length} rope factors for ${numRotaryDims / 2} pairs of dimensions`,
    );
  }
  return {
    style: ROPE_STYLES[context.architecture]!,
    numRotaryDims,
    theta: fields.float(key('rope.freq_base'), 10000),
    scaling,
  };
}

function readScaling(fields: GgufFields, key: (name: string) => string, context: RotaryContext): RopeScaling {
  const legacyFactor = fields.float(key('rope.scale_linear'), 0);
  const kind = fields.string(key('rope.scaling.type'), legacyFactor > 0 ? 'linear' : 'none');
  const factor = fields.float(key('rope.scaling.factor'), legacyFactor > 0 ? legacyFactor : 1);
  if (context.ropeFactors !== undefined) {
    checkFactors(fields, context.ropeFactors);
    if ((kind === 'linear' && factor !== 1) || kind === 'yarn') {
      throw new UnsupportedError(
        `${context.path}: ${GGUF_NAMES.ropeFactors} with ${kind} scaling`,
        'use one or the other',
      );
    }
    return { kind: 'factors', factors: context.ropeFactors };
  }
  switch (kind) {
    case 'none':
      return { kind: 'none' };
    case 'linear':
      return factor === 1 ? { kind: 'none' } : { kind: 'linear', factor };
    case 'yarn':
      return {
        kind: 'yarn',
        factor,
        originalContextLength: fields.uint(
          key('rope.scaling.original_context_length'),
          fields.uint(key('context_length')),
        ),
        betaFast: fields.float(key('rope.scaling.yarn_beta_fast'), 32),
        betaSlow: fields.float(key('rope.scaling.yarn_beta_slow'), 1),
        attentionFactor: yarnAttentionFactor(factor) * fields.float(key('rope.scaling.attn_factor'), 1),
      };
    default:
      throw new UnsupportedError(`${context.path}: rope scaling '${kind}'`, 'known are none, linear, yarn');
  }
}

function checkFactors(fields: GgufFields, factors: readonly number[]): void {
  const bad = factors.find((factor) => !(factor > 0 && Number.isFinite(factor)));
  if (bad !== undefined) throw fields.fail(GGUF_NAMES.ropeFactors!, `${bad} is not a positive number`);
}
