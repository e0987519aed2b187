/** What a model family provides: the list of its weights and its forward pass. `model-registry.ts` lists families. */
import type { KernelOps } from '../kernels/kernel-backend.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { ModelConfig } from './model-config.ts';
import type { LayerRole, ModelRole, ModelWeights, WeightSpec } from './weights.ts';

/** Everything a forward pass reads and writes, as tensors of one backend. Where several workers share the work, each
 * runs the same pass with ops that do its part and wait for the others. */
export interface ForwardContext {
  readonly ops: KernelOps;
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  /** Cosines and sines, [maxModelLen, numRotaryDims]. */
  readonly rotaryTable: Tensor;
  /** Per layer, [numBlocks, numKvHeads, blockSize, headDim]. */
  readonly kvCache: readonly KvLayer[];
  readonly inputs: ForwardInputs;
  readonly activations: Activations;
}

export interface KvLayer {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/** A `ForwardBatch` on the backend; views cut to the step's sizes. */
export interface ForwardInputs {
  readonly tokenIds: Tensor;
  readonly positions: Tensor;
  readonly slotMapping: Tensor;
  readonly queryStartLoc: Tensor;
  readonly seqLens: Tensor;
  readonly blockTables: Tensor;
  readonly outputRows: Tensor;
  readonly logitRows: Tensor;
  readonly sumRows: Tensor;
  readonly scoreRows: Tensor;
  readonly scoreTokenIds: Tensor;
  readonly hiddenRows: Tensor;
  /** [numBlockCopies, 2] */
  readonly blockCopies: Tensor;
}

/** Scratch memory of one step; views cut to T tokens. */
export interface Activations {
  /** The residual stream, [T, hiddenSize]. */
  readonly hidden: Tensor;
  readonly normed: Tensor;
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  readonly attention: Tensor;
  /** Of the MLP, between its two halves: [T, intermediateSize]. */
  readonly gated: Tensor;
  /** Final hidden states of rows that want logits, [R, hiddenSize], and their logits, [R, vocabSize]. R may be less than
   * all such rows: logits are large, so they are computed in rounds. */
  readonly output: Tensor;
  readonly logits: Tensor;
  /** The best of each row of logits, flat: a step's [R, numTop, 2] are its beginning. */
  readonly topLogits: Tensor;
  /** [sumRows, segments, 3] */
  readonly segmentSums: Tensor;
  /** [scoreRows] */
  readonly logprobs: Tensor;
  /** [hiddenRows, hiddenSize] */
  readonly hiddenStates: Tensor;
}

export interface ModelFamily {
  readonly architecture: string;
  readonly modelWeights: readonly WeightSpec<ModelRole>[];
  readonly layerWeights: readonly WeightSpec<LayerRole>[];
  /** Runs all layers for the batch and fills its KV slots. Returns the residual stream of `inputs.outputRows`; what other
   * rows would become after the last layer's keys and values concerns nobody. Shape  [outputRows, hiddenSize] f32 */
  forward(context: ForwardContext): Tensor;
  /** Final hidden states, normed, of chosen rows of the residual stream. Shapes  rows [R] i32; out [R, hiddenSize] f32 */
  finishRows(context: ForwardContext, residual: Tensor, rows: Tensor, out: Tensor): void;
  /** logits = output · lmHeadᵀ. Shapes  output [R, hiddenSize] f32; logits [R, vocabSize] f32 */
  computeLogits(context: ForwardContext, output: Tensor, logits: Tensor): void;
}
