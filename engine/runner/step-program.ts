/** What every worker runs in a step: views cut to the step's size, then the family's forward pass. The same program runs
 * inline with whole ops and in workers with ops that do a part each. */
import type { KernelOps } from '../kernels/kernel-backend.ts';
import type { ForwardBatch } from '../model/forward-batch.ts';
import type { ModelConfig } from '../model/model-config.ts';
import type { Activations, ForwardInputs, ModelFamily } from '../model/model-family.ts';
import type { ModelWeights } from '../model/weights.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { ModelMemory } from './model-memory.ts';

/** How large a step is; what it holds lies in `ModelMemory.inputs`. */
export interface StepSize {
  readonly numTokens: number;
  readonly numSeqs: number;
  readonly maxBlocksPerSeq: number;
  readonly numLogitRows: number;
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
  const numBlockCopies = batch.blockCopies.length / 2;
  return { numTokens, numSeqs, maxBlocksPerSeq, numLogitRows: batch.logitRows.length, numBlockCopies };
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
  family.forward({ ops, config, weights, rotaryTable, kvCache, inputs, activations });
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
    logitRows: inputs.logitRows.slice(0, size.numLogitRows),
    blockCopies: inputs.blockCopies.slice(0, size.numBlockCopies * 2).reshape([size.numBlockCopies, 2]),
  };
}

function cutActivations(all: Activations, { numTokens, numLogitRows }: StepSize): Activations {
  const rows = (tensor: Tensor): Tensor => tensor.slice(0, numTokens);
  return {
    hidden: rows(all.hidden),
    normed: rows(all.normed),
    query: rows(all.query),
    key: rows(all.key),
    value: rows(all.value),
    attention: rows(all.attention),
    gate: rows(all.gate),
    up: rows(all.up),
    output: all.output.slice(0, numLogitRows),
    logits: all.logits.slice(0, numLogitRows),
  };
}
