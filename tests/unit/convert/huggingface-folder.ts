/** Small Hugging Face folders of random weights, for converting. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readHfModelConfig } from '../../../engine/loader/hf-model-config.ts';
import { HF_NAMES, layerWeightName } from '../../../engine/loader/weight-names.ts';
import type { ModelConfig } from '../../../engine/model/model-config.ts';
import { findModelFamily } from '../../../engine/model/model-registry.ts';
import type { LayerRole, ModelRole, WeightSpec } from '../../../engine/model/weights.ts';
import { syntheticVocabulary } from '../../../engine/synth/synthetic-vocabulary.ts';
import { Rng } from '../../../engine/util/rng.ts';
import { readHfConfig, type TensorSource, writeSafetensors } from '../../../formats/index.ts';

export const VOCAB_SIZE = 320;

export const BASE_CONFIG = {
  architectures: ['TestForCausalLM'],
  model_type: 'llama',
  vocab_size: VOCAB_SIZE,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: false,
};

export const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };

/** @param numTokens  ids beyond it have embeddings and no token */
export function tokenizerJson(numTokens: number = VOCAB_SIZE): Record<string, unknown> {
  const keys = syntheticVocabulary(numTokens, 2, 'gpt-2');
  const tokens = keys.get('tokenizer.ggml.tokens')!.value as string[];
  const special = tokens.slice(-2).map((content, i) => ({
    ...{ id: numTokens - 2 + i, content, special: true, normalized: false },
    ...{ single_word: false, lstrip: false, rstrip: false },
  }));
  return {
    added_tokens: special,
    normalizer: null,
    pre_tokenizer: BYTE_LEVEL,
    post_processor: null,
    decoder: BYTE_LEVEL,
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.slice(0, -2).map((text, id) => [text, id])),
      merges: keys.get('tokenizer.ggml.merges')!.value,
    },
  };
}

export interface FolderParts {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly tokenizer?: Readonly<Record<string, unknown>>;
  /** Optional weights that the model has. */
  readonly optional?: readonly string[];
}

export async function writeFolder(folder: string, { config, tokenizer, optional = [] }: FolderParts): Promise<string> {
  await mkdir(folder);
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...BASE_CONFIG, ...config }));
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer ?? tokenizerJson()));
  await writeFile(
    join(folder, 'tokenizer_config.json'),
    JSON.stringify({ bos_token: '<|begin_of_text|>', eos_token: '<|end_of_text|>', add_bos_token: true }),
  );
  const read = readHfModelConfig(await readHfConfig(folder));
  await writeSafetensors(join(folder, 'model.safetensors'), { tensors: randomTensors(read, optional) });
  return folder;
}

function* randomTensors(config: ModelConfig, optional: readonly string[]): Generator<TensorSource> {
  const family = findModelFamily(config.architecture);
  const rng = Rng.fromSeed(1);
  const source = (spec: WeightSpec, name: string): TensorSource => {
    const shape = spec.shape(config);
    const count = shape.reduce((product, size) => product * size, 1);
    const values = Float32Array.from({ length: count }, () => rng.nextFloat() - 0.5);
    return { name, dtype: 'f32', shape, data: () => new Uint8Array(values.buffer) };
  };
  const isThere = ({ role, optional: mayLack }: WeightSpec): boolean => mayLack !== true || optional.includes(role);
  for (const spec of family.modelWeights.filter(isThere)) yield source(spec, HF_NAMES.model[spec.role as ModelRole]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const spec of family.layerWeights.filter(isThere)) {
      yield source(spec, layerWeightName(HF_NAMES, spec.role as LayerRole, layer));
    }
  }
}
