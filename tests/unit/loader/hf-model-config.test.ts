/** config.json to hyperparameters: the fields of real models, and what must be refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QuernError } from '../../../engine/errors.ts';
import { readHfModelConfig } from '../../../engine/loader/hf-model-config.ts';
import { findConfigProblem } from '../../../engine/model/model-config.ts';
import { readHfConfig } from '../../../formats/hf/hf-config.ts';
import { mutatedJson } from '../../helpers/json-mutations.ts';
import { rejection } from '../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();

/** Values as published in the config.json of Llama-3.2-1B. */
const LLAMA_3_2_1B = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  vocab_size: 128256,
  max_position_embeddings: 131072,
  rms_norm_eps: 1e-5,
  rope_theta: 500000,
  rope_scaling: {
    factor: 32,
    high_freq_factor: 4,
    low_freq_factor: 1,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  tie_word_embeddings: true,
};

async function read(config: object) {
  await folder.put('config.json', JSON.stringify(config));
  return readHfModelConfig(await readHfConfig(folder.at('')));
}

describe('readHfModelConfig', () => {
  it('reads Llama-3.2-1B', async () => {
    expect(await read(LLAMA_3_2_1B)).toEqual({
      architecture: 'llama',
      name: 'LlamaForCausalLM',
      vocabSize: 128256,
      hiddenSize: 2048,
      intermediateSize: 8192,
      numLayers: 16,
      numHeads: 32,
      numKvHeads: 8,
      headDim: 64,
      rmsNormEps: 1e-5,
      contextLength: 131072,
      rotary: {
        style: 'neox',
        numRotaryDims: 64,
        theta: 500000,
        scaling: { kind: 'llama3', factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalContextLength: 8192 },
      },
    });
  });

  it('fills in what older files leave out', async () => {
    const { head_dim, rope_scaling, num_key_value_heads, rope_theta, ...old } = LLAMA_3_2_1B;
    const config = await read(old);
    expect(config).toMatchObject({ headDim: 64, numKvHeads: 32 });
    expect(config.rotary).toEqual({ style: 'neox', numRotaryDims: 64, theta: 10000, scaling: { kind: 'none' } });
  });

  it('reads rope_parameters, where newer files keep theta and scaling', async () => {
    const { rope_theta, rope_scaling, ...rest } = LLAMA_3_2_1B;
    const { rotary } = await read({ ...rest, rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 1e6 } });
    expect(rotary).toMatchObject({ theta: 1e6, scaling: { kind: 'linear', factor: 2 } });
  });

  it('gives yarn its defaults', async () => {
    const { rotary } = await read({ ...LLAMA_3_2_1B, rope_scaling: { type: 'yarn', factor: 4 } });
    expect(rotary.scaling).toEqual({
      kind: 'yarn',
      factor: 4,
      originalContextLength: 131072,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: 0.1 * Math.log(4) + 1,
    });
  });

  it.each([
    ['mistral', { sliding_window: 4096 }, 4096],
    ['mistral', { sliding_window: null }, undefined],
    ['qwen2', { sliding_window: 4096, use_sliding_window: false }, undefined],
    // Qwen2Config: layers before max_window_layers (28 if not said) attend to everything.
    ['qwen2', { sliding_window: 4096, use_sliding_window: true }, undefined],
    ['qwen2', { sliding_window: 4096, use_sliding_window: true, max_window_layers: 0 }, 4096],
    ['qwen2', { sliding_window: 4096, use_sliding_window: true, max_window_layers: 16 }, undefined],
    ['mistral', { sliding_window: 4096, layer_types: Array(16).fill('full_attention') }, undefined],
    ['qwen2', { sliding_window: 4096, layer_types: Array(16).fill('sliding_attention') }, 4096],
    ['llama', { sliding_window: 4096 }, undefined],
  ])('%s with %o has a window of %s', async (model_type, change, window) => {
    expect((await read({ ...LLAMA_3_2_1B, model_type, ...change })).slidingWindow).toBe(window);
  });

  it.each([
    [{ model_type: 'mamba' }, 'UNSUPPORTED', /architecture 'mamba'/],
    [{ hidden_act: 'gelu' }, 'UNSUPPORTED', /activation 'gelu'/],
    [{ quantization_config: { quant_method: 'gptq' } }, 'UNSUPPORTED', /gptq/],
    [{ rope_scaling: { rope_type: 'longrope', factor: 2 } }, 'UNSUPPORTED', /longrope/],
    [{ rope_scaling: { rope_type: 'llama3', factor: 2 } }, 'FORMAT', /low_freq_factor/],
    [
      { model_type: 'qwen2', sliding_window: 9, use_sliding_window: true, max_window_layers: 15 },
      'UNSUPPORTED',
      /window in 1 of 16 layers/,
    ],
    [{ sliding_window: 9, layer_types: ['sliding_attention', 'full_attention'] }, 'UNSUPPORTED', /in 1 of 2 layers/],
    [{ hidden_size: undefined }, 'FORMAT', /hidden_size.*missing/],
    [{ hidden_size: 2 ** 21 }, 'FORMAT', /hidden_size/],
    [{ num_key_value_heads: 5 }, 'FORMAT', /num_key_value_heads.*does not divide/],
    [{ head_dim: 63 }, 'FORMAT', /head_dim.*even/],
    [{ num_attention_heads: 3, head_dim: undefined }, 'FORMAT', /head_dim/],
  ])('%o is refused', async (change, code, message) => {
    const error = (await rejection(read({ ...LLAMA_3_2_1B, ...change }))) as Error;
    expect(error).toMatchObject({ code });
    expect(error.message).toMatch(message);
  });

  it('refuses or reads whatever else stands in the fields, and never gives what cannot be', async () => {
    let [numRead, numRefused] = [0, 0];
    await fc.assert(
      fc.asyncProperty(mutatedJson(LLAMA_3_2_1B), async (json) => {
        try {
          expect(findConfigProblem(await read(json as object))).toBeUndefined();
          numRead++;
        } catch (error) {
          if (!QuernError.isInstance(error)) throw error;
          expect(['FORMAT', 'UNSUPPORTED']).toContain(error.code);
          numRefused++;
        }
      }),
    );
    expect(Math.min(numRead, numRefused)).toBeGreaterThan(0);
  });
});
