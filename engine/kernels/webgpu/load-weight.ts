/** Takes a weight in: reads its stored bytes a piece at a time, packs each piece into the planes that kernels read, and
 * splits what one binding cannot hold by rows. Never holds more than a piece on the host. */
import type { FloatDType } from '../../tensor/dtype.ts';
import { quantFormat } from '../../tensor/quant/quant-registry.ts';
import { formatShape, numRows, rowSize, type Shape } from '../../tensor/shape.ts';
import { byteLengthOf } from '../../tensor/storage.ts';
import { Tensor } from '../../tensor/tensor.ts';
import type { ReadRange } from '../kernel-backend.ts';
import type { CommandRecorder } from './command-recorder.ts';
import type { GpuBuffer, WeightChunk } from './gpu-buffer.ts';
import type { GpuDevice } from './gpu-device.ts';
import type { GpuMemory } from './gpu-memory.ts';
import { vectorFormat, type WeightFormat } from './weight-formats/index.ts';

/** Stored bytes read at once. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** Bytes on their way to the GPU after which loading waits: the driver keeps a copy of each until it has arrived. */
const MAX_BYTES_IN_FLIGHT = 64 * 1024 * 1024;

/** Quant blocks per piece are a multiple of it, so that every piece of every plane begins at a whole word. */
const BLOCK_STEP = 8;

export interface LoadTarget {
  readonly gpu: GpuDevice;
  readonly memory: GpuMemory;
  readonly recorder: CommandRecorder;
  /** How matrices are laid out for the kernels that will read them. */
  readonly matrixFormat: (dtype: FloatDType) => WeightFormat;
}

/** A failed read leaves nothing allocated.
 * @throws OutOfMemoryError, DeviceLostError, what `read` throws */
export async function loadWeight(
  target: LoadTarget,
  about: { readonly dtype: FloatDType; readonly shape: Shape },
  read: ReadRange,
): Promise<Tensor<GpuBuffer>> {
  const { dtype, shape } = about;
  const byteLength = byteLengthOf(dtype, shape);
  const isMatrix = shape.length === 2 && shape[1]! > 0;
  const format = isMatrix ? target.matrixFormat(dtype) : vectorFormat(dtype);
  const chunks = newChunks(target, format, shape, isMatrix);
  // A vector is one buffer of f32, as an activation is.
  const contents = isMatrix ? { format, rowLength: rowSize(shape), chunks } : chunks[0]!.buffer;
  const buffer = target.memory.adoptWeight(byteLength, contents);
  try {
    await target.gpu.settle();
    await fill(target, { dtype, format, blocksPerRow: rowSize(shape) / format.blockSize, chunks }, read);
    await target.gpu.finish();
  } catch (error) {
    target.memory.release(buffer);
    throw error;
  }
  return new Tensor(dtype, shape, buffer);
}

/** Buffers for all rows, each as large as a binding may be. */
function newChunks({ memory }: LoadTarget, format: WeightFormat, shape: Shape, isMatrix: boolean): WeightChunk[] {
  const what = `weights ${format.name}${formatShape(shape)}`;
  const totalRows = numRows(shape);
  const blocksPerRow = rowSize(shape) / format.blockSize;
  const bytesPerRow = blocksPerRow * format.planeBytes.reduce((sum, bytes) => sum + bytes, 0);
  // Each plane may end in up to 15 bytes of padding.
  const room = memory.maxWeightBytes - 16 * format.planeBytes.length;
  const rowsPerChunk = isMatrix ? Math.max(1, Math.floor(room / bytesPerRow)) : Math.max(1, totalRows);
  const chunks: WeightChunk[] = [];
  try {
    for (let firstRow = 0; firstRow < Math.max(1, totalRows); firstRow += rowsPerChunk) {
      const rows = Math.min(rowsPerChunk, totalRows - firstRow);
      const planeStarts: number[] = [];
      let end = 0;
      for (const bytes of format.planeBytes) {
        planeStarts.push(end);
        end += Math.ceil((rows * blocksPerRow * bytes) / 16) * 16;
      }
      const buffer = memory.newGpuBuffer(end, what);
      chunks.push({ buffer, byteLength: buffer.size, firstRow, numRows: rows, planeStarts });
    }
  } catch (error) {
    for (const { buffer } of chunks) buffer.destroy();
    throw error;
  }
  return chunks;
}

interface Filling {
  readonly dtype: FloatDType;
  readonly format: WeightFormat;
  readonly blocksPerRow: number;
  readonly chunks: readonly WeightChunk[];
}

async function fill({ gpu, recorder }: LoadTarget, filling: Filling, read: ReadRange): Promise<void> {
  const { dtype, format, blocksPerRow, chunks } = filling;
  const { bytesPerBlock } = quantFormat(dtype);
  const blocksPerPiece = Math.max(BLOCK_STEP, Math.floor(PIECE_BYTES / bytesPerBlock / BLOCK_STEP) * BLOCK_STEP);
  let byteOffset = 0;
  let bytesInFlight = 0;
  for (const { buffer, numRows: rows, planeStarts } of chunks) {
    const blocksInChunk = rows * blocksPerRow;
    for (let block = 0; block < blocksInChunk; block += blocksPerPiece) {
      const numBlocks = Math.min(blocksPerPiece, blocksInChunk - block);
      const source = new Uint8Array(numBlocks * bytesPerBlock);
      await read(byteOffset, source);
      gpu.expectAlive();
      byteOffset += source.length;
      // Whole words: the last piece may end in the middle of one.
      const planes = format.planeBytes.map((bytes) => new Uint8Array(Math.ceil((numBlocks * bytes) / 4) * 4));
      format.pack(source, numBlocks, planes);
      planes.forEach((plane, i) => {
        recorder.write(buffer, planeStarts[i]! + block * format.planeBytes[i]!, plane);
        bytesInFlight += plane.length;
      });
      if (bytesInFlight < MAX_BYTES_IN_FLIGHT) continue;
      await gpu.finish();
      bytesInFlight = 0;
    }
  }
}
