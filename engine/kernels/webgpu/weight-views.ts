/** Weights as ops see them: matrices as a list of parts, each within one buffer, and vectors as f32. */
import { UnsupportedError } from '../../errors.ts';
import type { FloatDType } from '../../tensor/dtype.ts';
import { quantFormat } from '../../tensor/quant/quant-registry.ts';
import { bytesPerRow } from '../../tensor/storage.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { GpuBuffer } from './gpu-buffer.ts';
import type { GpuSlice } from './gpu-kernel.ts';
import type { BoundTensor, GpuMemory } from './gpu-memory.ts';
import { F32_WEIGHTS } from './weight-formats/float-formats.ts';
import { GROUP_SIZE, type WeightFormat } from './weight-formats/index.ts';

/** Neighbouring rows of a matrix that lie in one buffer. */
export interface WeightPart {
  readonly format: WeightFormat;
  readonly slice: GpuSlice;
  /** The first row, counted in the tensor. */
  readonly firstRow: number;
  readonly numRows: number;
  /** The first row, counted in the buffer. */
  readonly rowInBuffer: number;
  /** Where row 0 of the buffer begins, in words; 0 for packed weights. */
  readonly wordOffset: number;
  /** Where plane 1 begins, in vec4s. */
  readonly scalesStart: number;
  /** Whether kernels may read whole groups of 32; else element by element. */
  readonly hasGroups: boolean;
}

/** @throws UnsupportedError for a weight that was not loaded as one and is not f32 */
export function weightParts(memory: GpuMemory, tensor: Tensor): readonly WeightPart[] {
  const { contents } = memory.expectOwned('weight', tensor);
  const [numRows, rowLength] = tensor.shape as [number, number];
  const isGrouped = rowLength % GROUP_SIZE === 0 && rowLength > 0;
  if (!('chunks' in contents)) {
    const bound = bindVector(memory, tensor);
    const part = { format: F32_WEIGHTS, slice: bound, firstRow: 0, numRows, rowInBuffer: 0, scalesStart: 0 };
    return [{ ...part, wordOffset: bound.wordOffset, hasGroups: isGrouped && bound.wordOffset === 0 }];
  }
  if (contents.rowLength !== rowLength) {
    throw new UnsupportedError(`a weight of ${contents.rowLength} columns as ${tensor}`, 'its rows are packed');
  }
  const start = tensor.byteOffset / bytesPerRow(tensor.dtype, rowLength);
  return contents.chunks.flatMap(({ buffer, byteLength, firstRow, numRows: rowsInChunk, planeStarts }) => {
    const from = Math.max(start, firstRow);
    const to = Math.min(start + numRows, firstRow + rowsInChunk);
    if (from >= to) return [];
    return {
      format: contents.format,
      slice: { buffer, byteOffset: 0, byteLength },
      firstRow: from - start,
      numRows: to - from,
      rowInBuffer: from - firstRow,
      wordOffset: 0,
      scalesStart: (planeStarts[1] ?? 0) / 16,
      hasGroups: isGrouped,
    };
  });
}

/** A norm's weight or a bias as f32.
 * @throws UnsupportedError as `weightParts` */
export function bindVector(memory: GpuMemory, tensor: Tensor): BoundTensor {
  const reason = whyNotWeight(tensor, memory.expectOwned('weight', tensor).isLoaded);
  if (reason !== undefined) throw new UnsupportedError(`${tensor} as a weight`, reason);
  const { blockSize, bytesPerBlock } = quantFormat(tensor.dtype as FloatDType);
  const firstElement = (tensor.byteOffset / bytesPerBlock) * blockSize;
  return memory.bindRange(memory.plainBuffer('weight', tensor), firstElement * 4, tensor.numElements * 4);
}

/** How ops call their weights and biases. */
const WEIGHT_NAMES = ['weight', 'bias', 'gateWeight', 'gateBias', 'upWeight', 'upBias'] as const;

/** Why some weight or bias of an op cannot be one. */
export function whyNotWeights(args: object): string | undefined {
  for (const name of WEIGHT_NAMES) {
    const tensor = (args as { readonly [Name in (typeof WEIGHT_NAMES)[number]]?: Tensor })[name];
    const reason = tensor?.buffer instanceof GpuBuffer ? whyNotWeight(tensor, tensor.buffer.isLoaded) : undefined;
    if (reason !== undefined) return `${tensor} as a weight: ${reason}`;
  }
  return undefined;
}

function whyNotWeight({ dtype }: Tensor, isLoaded: boolean): string | undefined {
  return isLoaded || dtype === 'f32' ? undefined : 'only f32 can be a weight without loadWeight';
}
