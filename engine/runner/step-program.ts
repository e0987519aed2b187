/** What every worker runs in a step: views cut to the step's size, then the family's forward pass. The same program runs
 * inline with whole ops and in workers with ops that do a part each. */
import type { KernelOps } from '../kernels/kernel-backend.ts';
import type { ForwardBatch } from '../model/forward-batch.ts';
import type { ModelConfig } from '../model/model-config.ts';
import type { Activations, ForwardContext, ForwardInputs, ModelFamily } from '../model/model-family.ts';
import type { ModelWeights } from '../model/weights.ts';
import { SEGMENT_SIZE } from '../sampling/segment-sums.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { ModelMemory } from './model-memory.ts';

/** How large a step is; what it holds lies in `ModelMemory.inputs`. */
export interface StepSize {
  readonly numTokens: number;
  readonly numSeqs: number;
  readonly maxBlocksPerSeq: number;
  readonly numOutputRows: number;
  readonly numLogitRows: number;
  readonly numTop: number;
  /** One for each of the sums' rows. */
  readonly sumTemperatures: readonly number[];
  readonly numScoreRows: number;
  readonly numHiddenRows: number;
  readonly numBlockCopies: number;
}

/** What stays the same from step to step. */
export interface StepModel {
  readonly config: ModelConfig;
  readonly family: ModelFamily;
  readonly weights: ModelWeights;
  readonly memory: ModelMemory;
}

export function stepSizeOf(batch: ForwardBatch): StepSize {
  const { numTokens, numSeqs, maxBlocksPerSeq } = batch;
  return {
    numTokens,
    numSeqs,
    maxBlocksPerSeq,
    numOutputRows: batch.outputRows.length,
    numLogitRows: batch.logitRows.length,
    numTop: batch.numTop,
    sumTemperatures: batch.sumTemperatures,
    numScoreRows: batch.scoreRows.length,
    numHiddenRows: batch.hiddenRows.length,
    numBlockCopies: batch.blockCopies.length / 2,
  };
}

export function runStep(ops: KernelOps, { config, family, weights, memory }: StepModel, size: StepSize): void {
  const inputs = cutInputs(memory.inputs, size);
  if (size.numBlockCopies > 0) {
    for (const { keys, values } of memory.kvCache) {
      ops.copyBlocks({ keyCache: keys, valueCache: values, copies: inputs.blockCopies });
    }
  }
  const activations = cutActivations(memory.activations, size);
  const { rotaryTable, kvCache } = memory;
  const context: ForwardContext = { ops, config, weights, rotaryTable, kvCache, inputs, activations };
  const residual = family.forward(context);
  if (size.numHiddenRows > 0) family.finishRows(context, residual, inputs.hiddenRows, activations.hiddenStates);
  if (size.numScoreRows > 0) scoreRows(context, family, residual);
  // Last, so that the logits are still there when the step is over.
  if (size.numLogitRows > 0) summarizeRows(context, logitsOf(context, family, residual, inputs.logitRows), size);
}

/** What choosing tokens needs to know of the rows, so that the calling thread need not look at every logit. */
function summarizeRows({ ops, inputs, activations }: ForwardContext, logits: Tensor, size: StepSize): void {
  const { numLogitRows, numTop, sumTemperatures } = size;
  if (numTop > 0) {
    const out = activations.topLogits.slice(0, numLogitRows * numTop * 2).reshape([numLogitRows, numTop, 2]);
    ops.topLogits({ logits, out });
  }
  const numSums = sumTemperatures.length;
  if (numSums > 0) {
    const out = activations.segmentSums.slice(0, numSums);
    const { sumRows: rows } = inputs;
    ops.softmaxSums({ logits, rows, temperatures: sumTemperatures, segmentSize: SEGMENT_SIZE, out });
  }
}

function logitsOf(context: ForwardContext, family: ModelFamily, residual: Tensor, rows: Tensor): Tensor {
  const output = context.activations.output.slice(0, rows.numElements);
  const logits = context.activations.logits.slice(0, rows.numElements);
  family.finishRows(context, residual, rows, output);
  family.computeLogits(context, output, logits);
  return logits;
}

/** One log-probability per row, in rounds of as many rows of logits as there is room for. */
function scoreRows(context: ForwardContext, family: ModelFamily, residual: Tensor): void {
  const { ops, inputs, activations } = context;
  const numRows = inputs.scoreRows.numElements;
  const rowsPerRound = activations.logits.shape[0]!;
  for (let start = 0; start < numRows; start += rowsPerRound) {
    const end = Math.min(numRows, start + rowsPerRound);
    const logits = logitsOf(context, family, residual, inputs.scoreRows.slice(start, end));
    const tokenIds = inputs.scoreTokenIds.slice(start, end);
    ops.tokenLogprobs({ logits, tokenIds, out: activations.logprobs.slice(start, end) });
  }
}

/** Views of the inputs with the step's shapes. */
export function cutInputs(inputs: ForwardInputs, size: StepSize): ForwardInputs {
  const { numTokens, numSeqs, maxBlocksPerSeq } = size;
  return {
    tokenIds: inputs.tokenIds.slice(0, numTokens),
    positions: inputs.positions.slice(0, numTokens),
    slotMapping: inputs.slotMapping.slice(0, numTokens),
    queryStartLoc: inputs.queryStartLoc.slice(0, numSeqs + 1),
    seqLens: inputs.seqLens.slice(0, numSeqs),
    blockTables: inputs.blockTables.slice(0, numSeqs * maxBlocksPerSeq).reshape([numSeqs, maxBlocksPerSeq]),
    outputRows: inputs.outputRows.slice(0, size.numOutputRows),
    logitRows: inputs.logitRows.slice(0, size.numLogitRows),
    sumRows: inputs.sumRows.slice(0, size.sumTemperatures.length),
    scoreRows: inputs.scoreRows.slice(0, size.numScoreRows),
    scoreTokenIds: inputs.scoreTokenIds.slice(0, size.numScoreRows),
    hiddenRows: inputs.hiddenRows.slice(0, size.numHiddenRows),
    blockCopies: inputs.blockCopies.slice(0, size.numBlockCopies * 2).reshape([size.numBlockCopies, 2]),
  };
}

function cutActivations(all: Activations, { numTokens, numScoreRows, numHiddenRows }: StepSize): Activations {
  const rows = (tensor: Tensor): Tensor => tensor.slice(0, numTokens);
  return {
    hidden: rows(all.hidden),
    normed: rows(all.normed),
    query: rows(all.query),
    key: rows(all.key),
    value: rows(all.value),
    attention: rows(all.attention),
    gated: rows(all.gated),
    output: all.output,
    logits: all.logits,
    topLogits: all.topLogits,
    segmentSums: all.segmentSums,
    logprobs: all.logprobs.slice(0, numScoreRows),
    hiddenStates: all.hiddenStates.slice(0, numHiddenRows),
  };
}
