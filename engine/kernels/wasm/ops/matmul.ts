/** matmul and gatedMatmul: activations are packed, then tiles of 4 tokens meet groups of 8 weight rows.
 *
 *   for a chunk of tokens that fits the activation area:
 *     pack      a part is a range of (token, record) pairs                     matmul-job.ts      -- meet --
 *     multiply  a thread takes ranges of groups of weight rows:                group-shares.ts
 *                 for a panel of groups that stays in the L2 cache,
 *                   for each of the weights (a gated MLP has two),
 *                     for a tile of tokens: one kernel call                    matmul-tiles.ts
 *                     and what becomes of its products                         matmul-finish.ts
 *                                                                              -- meet, before the next chunk --
 * A decode step is one chunk and one tile: the weights stream by once. Its activations are so few that every thread packs
 * them all for itself, which takes less time than to meet.
 *
 * Weights of formats without kernels are dequantized on the way (matmul-dequantized.ts). */
import type { Tensor } from '../../../tensor/tensor.ts';
import { threadScratch } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf, packingOf, type WasmBuffer } from '../wasm-buffer.ts';
import { divideGroups } from './group-shares.ts';
import { canBeDequantized, DEQUANTIZED, multiplyDequantized } from './matmul-dequantized.ts';
import { fitsActivationArea, jobOf, type Layer, type MatmulJob } from './matmul-job.ts';
import { type GroupRange, groupsPerPanel, multiplyPacked } from './matmul-tiles.ts';
import type { NativeOp, Share } from './native-op.ts';
import { placeActivations } from './packed-activations.ts';

export const matmul: NativeOp<'matmul'> = {
  takes: ({ weight }) => takesWeight(weight),
  readsOwn: 'x',
  run(machine, { x, weight, bias, residual, out }, share) {
    const join = residual === undefined ? undefined : ({ kernel: 'add', operand: addressOf(residual) } as const);
    multiply(machine, [{ x, weight, bias, join, out }], share);
  },
};

const GATES = { silu: 'silu_mul', gelu: 'gelu_mul' } as const;

export const gatedMatmul: NativeOp<'gatedMatmul'> = {
  takes: ({ gateWeight, upWeight }) => takesWeight(gateWeight) && takesWeight(upWeight),
  readsOwn: 'x',
  run(machine, { x, gateWeight, gateBias, upWeight, upBias, activation, out }, share) {
    const join = { kernel: GATES[activation], operand: addressOf(out) };
    multiply(
      machine,
      [
        { x, weight: gateWeight, bias: gateBias, out },
        { x, weight: upWeight, bias: upBias, join, out },
      ],
      share,
    );
  },
};

/** Whether kernels take the weight. Without columns there is nothing to multiply. */
function takesWeight(weight: Tensor): boolean {
  if (weight.shape[1] === 0) return false;
  if (packingOf(weight) !== undefined) return true;
  return canBeDequantized(weight) && fitsActivationArea(DEQUANTIZED, weight.shape[1]!);
}

/** Layers that read the same tokens and write the same outputs, one after the other. */
function multiply(machine: Machine, layers: readonly Layer[], share: Share): void {
  const { x, weight } = layers[0]!;
  const [numTokens, numRows] = [x.shape[0]!, weight.shape[0]!];
  if (numTokens === 0 || numRows === 0) return;
  const jobs = layers.map((layer) => jobOf(machine, layer, packingOf(layer.weight)?.format ?? DEQUANTIZED));
  const { isOwn, chunkTokens, starts } = placeActivations(jobs, share.part);
  const values = share.own.addressOf(machine, x);
  for (let firstToken = 0; firstToken < numTokens; firstToken += chunkTokens) {
    const size = Math.min(chunkTokens, numTokens - firstToken);
    const chunks = jobs.map((job, i) => ({ ...job, values, packed: starts[i]!, firstToken, numTokens: size }));
    const isFree = firstToken === 0 && share.numJoined === 0;
    share.packed.provide(machine, chunks, share, { isOwn, isFree });
    const scratch = threadScratch(share.part.index);
    const step = Math.min(...chunks.map(groupsPerPanel));
    divideGroups(machine, chunks[0]!.numGroups, share, ({ first, end }) => {
      // Panel by panel, so that one layer's outputs are still in the cache when the next one's join them.
      for (let group = first; group < end; group += step) {
        const panel = { first: group, end: Math.min(end, group + step) };
        for (const chunk of chunks) multiplyPanel(machine, chunk, panel, scratch);
      }
    });
  }
}

function multiplyPanel(machine: Machine, chunk: MatmulJob, panel: GroupRange, scratch: number): void {
  const isPacked = (chunk.weight.buffer as WasmBuffer).packing !== undefined;
  (isPacked ? multiplyPacked : multiplyDequantized)(machine, chunk, panel, scratch);
}
