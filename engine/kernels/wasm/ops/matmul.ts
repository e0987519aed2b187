/** matmul and gatedMatmul: activations are packed, then tiles of 4 tokens meet groups of 8 weight rows.
 *
 *   for a chunk of tokens that fits the activation area:
 *     pack      a part is a range of tokens                                    matmul-job.ts      -- meet --
 *     multiply  a thread takes ranges of groups of weight rows:                group-shares.ts
 *                 for a panel of groups that stays in the L2 cache,            panels.ts
 *                   for each of the weights (a gated MLP has two),
 *                     for a slice of long rows, for a tile of tokens (or many):
 *                       one kernel call                                        matmul-tiles.ts
 *                     and what becomes of its products                         matmul-finish.ts
 *                                                                              -- meet, before the next chunk --
 * A decode step is one chunk and one tile: the weights stream by once. Its activations are so few that every thread packs
 * them all for itself, which takes less time than to meet.
 *
 * Weights of formats without kernels are dequantized on the way (matmul-dequantized.ts). */
import type { Tensor } from '../../../tensor/tensor.ts';
import { TOUCHED_BYTES } from '../generators/touch-pages.ts';
import { threadScratch } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf, packingOf, type WasmBuffer } from '../wasm-buffer.ts';
import { divideGroups } from './group-shares.ts';
import { canBeDequantized, DEQUANTIZED, multiplyDequantized } from './matmul-dequantized.ts';
import { fitsActivationArea, jobOf, type Layer, type MatmulJob, partOfJob } from './matmul-job.ts';
import { type GroupRange, multiplyPacked } from './matmul-tiles.ts';
import type { NativeOp, PreparedOp, Share } from './native-op.ts';
import { activationsStart, placeActivations } from './packed-activations.ts';
import { panelEnd } from './panels.ts';

export const matmul: NativeOp<'matmul'> = {
  takes: ({ weight }) => takesWeight(weight),
  readsOwn: 'x',
  prepare(machine, { x, weight, bias, residual, out }) {
    const join = residual === undefined ? undefined : ({ kernel: 'add', operand: addressOf(residual) } as const);
    return multiplication(machine, [{ x, weight, bias, join, out }]);
  },
};

const GATES = { silu: 'silu_mul', gelu: 'gelu_mul' } as const;

export const gatedMatmul: NativeOp<'gatedMatmul'> = {
  takes: ({ gateWeight, upWeight }) => takesWeight(gateWeight) && takesWeight(upWeight),
  readsOwn: 'x',
  prepare(machine, { x, gateWeight, gateBias, upWeight, upBias, activation, out }) {
    const join = { kernel: GATES[activation], operand: addressOf(out) };
    return multiplication(machine, [
      { x, weight: gateWeight, bias: gateBias, out },
      { x, weight: upWeight, bias: upBias, join, out },
    ]);
  },
};

/** Whether kernels take the weight. Without columns there is nothing to multiply. */
function takesWeight(weight: Tensor): boolean {
  if (weight.shape[1] === 0) return false;
  if (packingOf(weight) !== undefined) return true;
  return canBeDequantized(weight) && fitsActivationArea(DEQUANTIZED, weight.shape[1]!);
}

/** Layers that read the same tokens and write the same outputs, one after the other. */
function multiplication(machine: Machine, layers: readonly Layer[]): PreparedOp {
  const { x, weight } = layers[0]!;
  const [numTokens, numRows] = [x.shape[0]!, weight.shape[0]!];
  if (numTokens === 0 || numRows === 0) return () => {};
  const jobs = layers.map((layer) => jobOf(machine, layer, packingOf(layer.weight)?.format ?? DEQUANTIZED));
  const placement = placeActivations(jobs);
  const { isOwn, chunkTokens, offsets } = placement;
  const touchedGroups = Math.ceil(TOUCHED_BYTES / jobs.reduce((sum, { layout }) => sum + layout.groupBytes, 0));
  const chunks = Array.from({ length: Math.ceil(numTokens / chunkTokens) }, (_, i) => {
    const firstToken = i * chunkTokens;
    return jobs.map((job) => partOfJob(job, firstToken, Math.min(chunkTokens, numTokens - firstToken)));
  });
  return (share) => {
    const [start, values] = [activationsStart(placement, share.part), share.own.addressOf(machine, x)];
    for (const chunk of chunks) {
      chunk.forEach((job, i) => {
        job.values = values;
        job.packed = start + offsets[i]!;
      });
      const isFree = chunk === chunks[0] && share.numJoined === 0;
      share.packed.provide(machine, chunk, share, { isOwn, isFree });
      multiplyChunk(machine, chunk, share, touchedGroups);
    }
  };
}

/** Panel by panel, so that one layer's outputs are still in the cache when the next one's join them.
 * @param touchedGroups  how many groups' pages are touched at a time */
function multiplyChunk(machine: Machine, chunk: readonly MatmulJob[], share: Share, touchedGroups: number): void {
  const scratch = threadScratch(share.part.index);
  divideGroups(machine, chunk[0]!.layout.numGroups, share, ({ first, end }) => {
    let endTouched = first;
    for (let group = first; group < end; ) {
      if (group >= endTouched) {
        endTouched = Math.min(end, group + touchedGroups);
        touchWeights(machine, chunk, { first: group, end: endTouched });
      }
      const panel = { first: group, end: panelEnd(chunk, group, end) };
      for (const job of chunk) multiplyPanel(machine, job, panel, scratch);
      group = panel.end;
    }
  });
}

/** Touches the pages of groups of all weights (generators/touch-pages.ts). */
function touchWeights({ kernels }: Machine, chunk: readonly MatmulJob[], { first, end }: GroupRange): void {
  for (const { weight, layout } of chunk) {
    const { address, packing } = weight.buffer as WasmBuffer;
    if (packing === undefined) continue;
    kernels.touch_pages!(address + first * layout.groupBytes, address + end * layout.groupBytes);
  }
}

function multiplyPanel(machine: Machine, job: MatmulJob, panel: GroupRange, scratch: number): void {
  const isPacked = (job.weight.buffer as WasmBuffer).packing !== undefined;
  (isPacked ? multiplyPacked : multiplyDequantized)(machine, job, panel, scratch);
}
