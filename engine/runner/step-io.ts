/** Puts a step's inputs where the ops read them, and takes its results from where the ops left them. */
import { InvalidArgumentError } from '../errors.ts';
import type { KernelBackend } from '../kernels/kernel-backend.ts';
import type { ForwardBatch, StepResult } from '../model/forward-batch.ts';
import type { ForwardInputs } from '../model/model-family.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { ModelMemory } from './model-memory.ts';

const FIELDS = [
  'tokenIds',
  'positions',
  'slotMapping',
  'queryStartLoc',
  'seqLens',
  'blockTables',
  'outputRows',
  'logitRows',
  'sumRows',
  'scoreRows',
  'scoreTokenIds',
  'hiddenRows',
  'blockCopies',
] as const satisfies readonly (keyof ForwardBatch & keyof ForwardInputs)[];

/** @throws InvalidArgumentError when the batch is empty or exceeds what memory was allocated for. */
export function uploadBatch(backend: KernelBackend, memory: ModelMemory, batch: ForwardBatch): void {
  for (const field of FIELDS) {
    const values = batch[field];
    const room = memory.inputs[field].numElements;
    if (values.length > room)
      throw new InvalidArgumentError(`batch.${field}`, `${values.length} entries, at most ${room}`);
  }
  if (batch.numTokens < 1) throw new InvalidArgumentError('batch', 'no tokens');
  for (const field of FIELDS) {
    if (batch[field].length > 0) backend.upload(memory.inputs[field], batch[field]);
  }
}

/** Resolves when every op of the step has run. Logits are large, so they are not copied where that can be avoided. */
export async function downloadResult(
  backend: KernelBackend,
  memory: ModelMemory,
  batch: ForwardBatch,
): Promise<StepResult> {
  const { logits, topLogits, segmentSums, logprobs, hiddenStates } = memory.activations;
  const take = async (tensor: Tensor, numEntries: number): Promise<Float32Array> =>
    numEntries === 0
      ? new Float32Array(0)
      : (backend.view?.(tensor.slice(0, numEntries)) ?? backend.download(tensor.slice(0, numEntries)));
  const seesLogits = backend.view !== undefined;
  const numLogitRows = batch.logitRows.length;
  const counts = {
    logits: seesLogits || batch.wantsLogits ? numLogitRows : 0,
    topLogits: numLogitRows * batch.numTop * 2,
    segmentSums: batch.sumRows.length,
    logprobs: batch.scoreRows.length,
    hiddenStates: batch.hiddenRows.length,
  };
  // Where nothing can be seen in place, a download waits for the ops by itself: one round trip rather than two.
  if (seesLogits || Object.values(counts).every((count) => count === 0)) await backend.sync();
  // All are asked for before any is waited for.
  const taken = await Promise.all([
    take(logits, counts.logits),
    take(topLogits, counts.topLogits),
    take(segmentSums, counts.segmentSums),
    take(logprobs, counts.logprobs),
    take(hiddenStates, counts.hiddenStates),
  ]);
  return {
    logits: taken[0],
    seesLogits,
    topLogits: taken[1],
    segmentSums: taken[2],
    logprobs: taken[3],
    hiddenStates: taken[4],
    fetchLogits: (place) => backend.download(logits.slice(place, place + 1)),
  };
}
