/** What files call the weights. `{i}` stands for the layer's number. One table per naming scheme; families that share
 * a scheme share its table. */
import type { LayerRole, ModelRole } from '../model/weights.ts';

export interface NameScheme {
  readonly model: Readonly<Record<ModelRole, string>>;
  readonly layer: Readonly<Record<LayerRole, string>>;
  /** A tensor of per-pair rope divisors, where the scheme has one. */
  readonly ropeFactors?: string;
}

/** Source  gguf-spec.md, "Standardized tensor names" */
export const GGUF_NAMES: NameScheme = {
  model: { embedTokens: 'token_embd.weight', finalNorm: 'output_norm.weight', lmHead: 'output.weight' },
  layer: {
    attentionNorm: 'blk.{i}.attn_norm.weight',
    qProj: 'blk.{i}.attn_q.weight',
    kProj: 'blk.{i}.attn_k.weight',
    vProj: 'blk.{i}.attn_v.weight',
    oProj: 'blk.{i}.attn_output.weight',
    qBias: 'blk.{i}.attn_q.bias',
    kBias: 'blk.{i}.attn_k.bias',
    vBias: 'blk.{i}.attn_v.bias',
    oBias: 'blk.{i}.attn_output.bias',
    mlpNorm: 'blk.{i}.ffn_norm.weight',
    gateProj: 'blk.{i}.ffn_gate.weight',
    upProj: 'blk.{i}.ffn_up.weight',
    downProj: 'blk.{i}.ffn_down.weight',
    gateBias: 'blk.{i}.ffn_gate.bias',
    upBias: 'blk.{i}.ffn_up.bias',
    downBias: 'blk.{i}.ffn_down.bias',
  },
  ropeFactors: 'rope_freqs.weight',
};

/** Source  the parameter names of `LlamaForCausalLM`, `MistralForCausalLM` and `Qwen2ForCausalLM` in transformers */
export const HF_NAMES: NameScheme = {
  model: { embedTokens: 'model.embed_tokens.weight', finalNorm: 'model.norm.weight', lmHead: 'lm_head.weight' },
  layer: {
    attentionNorm: 'model.layers.{i}.input_layernorm.weight',
    qProj: 'model.layers.{i}.self_attn.q_proj.weight',
    kProj: 'model.layers.{i}.self_attn.k_proj.weight',
    vProj: 'model.layers.{i}.self_attn.v_proj.weight',
    oProj: 'model.layers.{i}.self_attn.o_proj.weight',
    qBias: 'model.layers.{i}.self_attn.q_proj.bias',
    kBias: 'model.layers.{i}.self_attn.k_proj.bias',
    vBias: 'model.layers.{i}.self_attn.v_proj.bias',
    oBias: 'model.layers.{i}.self_attn.o_proj.bias',
    mlpNorm: 'model.layers.{i}.post_attention_layernorm.weight',
    gateProj: 'model.layers.{i}.mlp.gate_proj.weight',
    upProj: 'model.layers.{i}.mlp.up_proj.weight',
    downProj: 'model.layers.{i}.mlp.down_proj.weight',
    gateBias: 'model.layers.{i}.mlp.gate_proj.bias',
    upBias: 'model.layers.{i}.mlp.up_proj.bias',
    downBias: 'model.layers.{i}.mlp.down_proj.bias',
  },
};

export function layerWeightName(scheme: NameScheme, role: LayerRole, layer: number): string {
  return scheme.layer[role].replace('{i}', String(layer));
}
