/** matmul: activations are packed, then tiles of 4 tokens meet groups of 8 weight rows.
 *
 *   for a chunk of tokens that fits the activation area:
 *     pack      a part is a range of (token, record) pairs                     matmul-job.ts      -- meet --
 *     multiply  a thread takes ranges of groups of weight rows:                group-shares.ts
 *                 for a panel of groups that stays in the L2 cache,
 *                   for a tile of tokens: one kernel call                      matmul-tiles.ts
 *                                                                              -- meet, before the next chunk --
 * A decode step is one chunk, one tile and one panel: the weight streams by once. Its activations are so few that every
 * thread packs them all for itself, which takes less time than to meet.
 *
 * Weights of formats without kernels are dequantized on the way (matmul-dequantized.ts). */
import { WHOLE } from '../../part.ts';
import { THREAD_ACTIVATION_BYTES, threadActivations } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { packingOf } from '../wasm-buffer.ts';
import { divideGroups } from './group-shares.ts';
import { canBeDequantized, DEQUANTIZED, multiplyDequantized } from './matmul-dequantized.ts';
import { bytesPerToken, fitsActivationArea, jobOf, type MatmulJob, packChunk } from './matmul-job.ts';
import { addBias, fillWithBias, multiplyPacked } from './matmul-tiles.ts';
import type { NativeOp, Share } from './native-op.ts';

export const matmul: NativeOp<'matmul'> = {
  takes: ({ weight }) =>
    packingOf(weight) !== undefined || (canBeDequantized(weight) && fitsActivationArea(DEQUANTIZED, weight.shape[1]!)),
  run(machine, args, share) {
    const packing = packingOf(args.weight);
    const job = jobOf(args, packing?.format ?? DEQUANTIZED);
    const multiply = packing === undefined ? multiplyDequantized : multiplyPacked;
    if (job.numTokens === 0 || job.numRows === 0) return;
    if (job.numRecords === 0) fillWithBias(machine, job, share.part);
    else runChunks(machine, job, share, multiply);
  },
};

function runChunks(machine: Machine, job: MatmulJob, share: Share, multiply: typeof multiplyPacked): void {
  const { numTokens, chunkTokens } = job;
  const multiplyChunk = (chunk: MatmulJob): void =>
    divideGroups(machine, chunk.numGroups, share, (groups) => {
      multiply(machine, chunk, groups, share.part);
      addBias(machine, chunk, groups);
    });
  if (numTokens * bytesPerToken(job.format, job.rowLength) <= THREAD_ACTIVATION_BYTES) {
    const alone = { ...job, packed: threadActivations(share.part.index) };
    packChunk(machine, alone, WHOLE);
    multiplyChunk(alone);
    return;
  }
  for (let first = 0; first < numTokens; first += chunkTokens) {
    // Another thread may still read what was packed there before.
    if (first > 0 || share.numJoined > 0) share.meet();
    const chunk = { ...job, firstToken: first, numTokens: Math.min(chunkTokens, numTokens - first) };
    packChunk(machine, chunk, share.part);
    share.meet();
    multiplyChunk(chunk);
  }
}
