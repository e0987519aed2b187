/** A model's hyperparameters as GGUF keys: the reverse of `engine/loader/gguf-config.ts`.
 *
 * Source  gguf-spec.md, sections "LLM", "Attention", "RoPE"; llama.cpp's `llama-arch.cpp` for the yarn keys */
import { type GgufMetadata, type GgufValue, gguf } from '../../formats/gguf/gguf-value.ts';
import type { ModelConfig } from '../model/model-config.ts';
import { inverseFrequencies, yarnAttentionFactor } from '../model/rotary.ts';
import type { RopeScaling } from '../model/rotary-config.ts';

/** @param architecture  what the file calls the family, which decides how its weights are laid out */
export function ggufHyperparameters(config: ModelConfig, architecture: string): GgufMetadata {
  const entries: [string, GgufValue][] = [
    ['vocab_size', gguf.uint32(config.vocabSize)],
    ['context_length', gguf.uint32(config.contextLength)],
    ['embedding_length', gguf.uint32(config.hiddenSize)],
    ['block_count', gguf.uint32(config.numLayers)],
    ['feed_forward_length', gguf.uint32(config.intermediateSize)],
    ['attention.head_count', gguf.uint32(config.numHeads)],
    ['attention.head_count_kv', gguf.uint32(config.numKvHeads)],
    ['attention.key_length', gguf.uint32(config.headDim)],
    ['attention.value_length', gguf.uint32(config.headDim)],
    ['attention.layer_norm_rms_epsilon', gguf.float32(config.rmsNormEps)],
    ['rope.dimension_count', gguf.uint32(config.rotary.numRotaryDims)],
    ['rope.freq_base', gguf.float32(config.rotary.theta)],
    ...scalingEntries(config.rotary.scaling),
  ];
  if (config.slidingWindow !== undefined) entries.push(['attention.sliding_window', gguf.uint32(config.slidingWindow)]);
  return new Map(entries.map(([key, value]) => [`${architecture}.${key}`, value]));
}

function scalingEntries(scaling: RopeScaling): [string, GgufValue][] {
  switch (scaling.kind) {
    case 'linear':
      return [
        ['rope.scaling.type', gguf.string('linear')],
        ['rope.scaling.factor', gguf.float32(scaling.factor)],
      ];
    case 'yarn':
      return [
        ['rope.scaling.type', gguf.string('yarn')],
        ['rope.scaling.factor', gguf.float32(scaling.factor)],
        ['rope.scaling.original_context_length', gguf.uint32(scaling.originalContextLength)],
        ['rope.scaling.yarn_beta_fast', gguf.float32(scaling.betaFast)],
        ['rope.scaling.yarn_beta_slow', gguf.float32(scaling.betaSlow)],
        // Relative to the factor that YaRN recommends.
        ['rope.scaling.attn_factor', gguf.float32(scaling.attentionFactor / yarnAttentionFactor(scaling.factor))],
      ];
    case 'none':
    case 'llama3': // a tensor of its own: `ropeFactors`
    case 'factors':
      return [];
    default:
      return scaling satisfies never;
  }
}

/** The values of `rope_freqs.weight`: what each pair's frequency is divided by. Shape [numRotaryDims / 2]. `undefined` where
 * the scaling needs no such tensor. */
export function ropeFactors({ rotary }: ModelConfig): Float32Array | undefined {
  const { kind } = rotary.scaling;
  if (kind !== 'llama3' && kind !== 'factors') return undefined;
  const scaled = inverseFrequencies(rotary);
  const plain = inverseFrequencies({ ...rotary, scaling: { kind: 'none' } });
  return Float32Array.from(plain, (frequency, i) => frequency / scaled[i]!);
}
