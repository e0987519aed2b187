/** The Llama family: pre-norm decoder with rotary positions, grouped-query attention and a gated MLP.
 *
 *   tokens -> embed -> [ norm -> attention -> + -> norm -> MLP -> + ] x numLayers -> norm -> lmHead -> logits
 *                        '------------------'   '---------------'
 *                           (residual)             (residual)
 *
 * Mistral adds a sliding window and Qwen2 adds biases on q, k, v; both come from the config and the file, so the
 * graph is the same.
 * Source  Touvron et al. 2023, "LLaMA", section 2.2; Jiang et al. 2023, "Mistral 7B"; Yang et al. 2024, "Qwen2" */
import type { KernelOps } from '../../kernels/kernel-backend.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { ModelConfig } from '../model-config.ts';
import type { Activations, ForwardContext, ModelFamily } from '../model-family.ts';
import { keepOutputRows } from '../output-rows.ts';
import type { LayerRole, ModelRole, WeightSpec, WeightsOf } from '../weights.ts';

const queryWidth = (c: ModelConfig): number => c.numHeads * c.headDim;
const kvWidth = (c: ModelConfig): number => c.numKvHeads * c.headDim;

const MODEL_WEIGHTS: readonly WeightSpec<ModelRole>[] = [
  { role: 'embedTokens', kind: 'matrix', shape: (c) => [c.vocabSize, c.hiddenSize] },
  { role: 'finalNorm', kind: 'vector', shape: (c) => [c.hiddenSize] },
  // Absent when the output projection is tied to the embedding (Press & Wolf 2017).
  { role: 'lmHead', kind: 'matrix', shape: (c) => [c.vocabSize, c.hiddenSize], optional: true },
];

const LAYER_WEIGHTS: readonly WeightSpec<LayerRole>[] = [
  { role: 'attentionNorm', kind: 'vector', shape: (c) => [c.hiddenSize] },
  { role: 'qProj', kind: 'matrix', shape: (c) => [queryWidth(c), c.hiddenSize] },
  { role: 'kProj', kind: 'matrix', shape: (c) => [kvWidth(c), c.hiddenSize] },
  { role: 'vProj', kind: 'matrix', shape: (c) => [kvWidth(c), c.hiddenSize] },
  { role: 'oProj', kind: 'matrix', shape: (c) => [c.hiddenSize, queryWidth(c)] },
  { role: 'qBias', kind: 'vector', shape: (c) => [queryWidth(c)], optional: true },
  { role: 'kBias', kind: 'vector', shape: (c) => [kvWidth(c)], optional: true },
  { role: 'vBias', kind: 'vector', shape: (c) => [kvWidth(c)], optional: true },
  { role: 'oBias', kind: 'vector', shape: (c) => [c.hiddenSize], optional: true },
  { role: 'mlpNorm', kind: 'vector', shape: (c) => [c.hiddenSize] },
  { role: 'gateProj', kind: 'matrix', shape: (c) => [c.intermediateSize, c.hiddenSize] },
  { role: 'upProj', kind: 'matrix', shape: (c) => [c.intermediateSize, c.hiddenSize] },
  { role: 'downProj', kind: 'matrix', shape: (c) => [c.hiddenSize, c.intermediateSize] },
  { role: 'gateBias', kind: 'vector', shape: (c) => [c.intermediateSize], optional: true },
  { role: 'upBias', kind: 'vector', shape: (c) => [c.intermediateSize], optional: true },
  { role: 'downBias', kind: 'vector', shape: (c) => [c.hiddenSize], optional: true },
];

function forward(context: ForwardContext): Tensor {
  const { ops, weights, config, inputs } = context;
  let { activations } = context;
  ops.embed({ tokenIds: inputs.tokenIds, weight: weights.model.embedTokens!, out: activations.hidden });
  for (const [layer, w] of weights.layers.entries()) {
    attention(context, layer);
    if (layer === config.numLayers - 1) activations = keepOutputRows(context);
    projectAttention(ops, w, activations);
    mlp(context, w, activations);
  }
  return activations.hidden;
}

function attention(context: ForwardContext, layer: number): void {
  const { ops, config, inputs, kvCache, activations, rotaryTable } = context;
  const w = context.weights.layers[layer]!;
  const { hidden, normed, query, key, value, attention: attended } = activations;
  const numTokens = hidden.shape[0]!;
  ops.rmsNorm({ x: hidden, weight: w.attentionNorm!, eps: config.rmsNormEps, out: normed });
  ops.matmul({ x: normed, weight: w.qProj!, bias: w.qBias, out: query });
  ops.matmul({ x: normed, weight: w.kProj!, bias: w.kBias, out: key });
  ops.matmul({ x: normed, weight: w.vProj!, bias: w.vBias, out: value });

  const q = query.reshape([numTokens, config.numHeads, config.headDim]);
  const k = key.reshape([numTokens, config.numKvHeads, config.headDim]);
  const v = value.reshape([numTokens, config.numKvHeads, config.headDim]);
  const { positions, slotMapping, blockTables, queryStartLoc, seqLens } = inputs;
  ops.rope({ x: q, positions, table: rotaryTable, style: config.rotary.style });
  ops.rope({ x: k, positions, table: rotaryTable, style: config.rotary.style });

  const { keys: keyCache, values: valueCache } = kvCache[layer]!;
  ops.writeKv({ k, v, keyCache, valueCache, slotMapping });
  ops.pagedAttention({
    q,
    keyCache,
    valueCache,
    blockTables,
    queryStartLoc,
    seqLens,
    scale: 1 / Math.sqrt(config.headDim),
    slidingWindow: config.slidingWindow,
    out: attended.reshape([numTokens, config.numHeads, config.headDim]),
  });
}

function projectAttention(ops: KernelOps, w: WeightsOf<LayerRole>, { attention, hidden }: Activations): void {
  ops.matmul({ x: attention, weight: w.oProj!, bias: w.oBias, residual: hidden, out: hidden });
}

function mlp({ ops, config }: ForwardContext, w: WeightsOf<LayerRole>, activations: Activations): void {
  const { hidden, normed, gated } = activations;
  ops.rmsNorm({ x: hidden, weight: w.mlpNorm!, eps: config.rmsNormEps, out: normed });
  ops.gatedMatmul({
    x: normed,
    gateWeight: w.gateProj!,
    gateBias: w.gateBias,
    upWeight: w.upProj!,
    upBias: w.upBias,
    activation: 'silu',
    out: gated,
  });
  ops.matmul({ x: gated, weight: w.downProj!, bias: w.downBias, residual: hidden, out: hidden });
}

function finishRows({ ops, weights, config }: ForwardContext, residual: Tensor, rows: Tensor, out: Tensor): void {
  ops.gatherRows({ x: residual, rows, out });
  ops.rmsNorm({ x: out, weight: weights.model.finalNorm!, eps: config.rmsNormEps, out });
}

function computeLogits({ ops, weights }: ForwardContext, output: Tensor, logits: Tensor): void {
  const { embedTokens, lmHead } = weights.model;
  ops.matmul({ x: output, weight: lmHead ?? embedTokens!, out: logits });
}

const family = { modelWeights: MODEL_WEIGHTS, layerWeights: LAYER_WEIGHTS, forward, finishRows, computeLogits };

export const llama: ModelFamily = { architecture: 'llama', ...family };
export const mistral: ModelFamily = { architecture: 'mistral', ...family };
export const qwen2: ModelFamily = { architecture: 'qwen2', ...family };
