/** Products with a weight that has no kernels of its own: it lies in memory as in its file. A group of 8 rows at a time is
 * dequantized, packed as F32 and meets all tokens of the chunk: a prompt pays for dequantizing once. */
import { quantFormat } from '../../../tensor/quant/quant-registry.ts';
import { bytesPerRow } from '../../../tensor/storage.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import { GROUP_ROWS } from '../generators/matmul-tile.ts';
import { THREAD_SCRATCH_BYTES } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { TILE_TOKENS } from '../packing/activation-layout.ts';
import { f32 } from '../packing/formats/floats.ts';
import { groupBytes } from '../packing/packed-format.ts';
import { byteAddressOf, type WasmBuffer } from '../wasm-buffer.ts';
import type { MatmulJob } from './matmul-job.ts';
import { type GroupRange, multiplyGroups } from './matmul-tiles.ts';

/** Products of a group with a tile. */
const PRODUCTS_BYTES = TILE_TOKENS * GROUP_ROWS * 4;

/** The format that the kernels see. */
export const DEQUANTIZED = f32;

/** Whether a group of the weight's rows fits the scratch memory. */
export function canBeDequantized(weight: Tensor): boolean {
  const [, rowLength] = weight.shape as [number, number];
  const isPlain = (weight.buffer as WasmBuffer).packing === undefined;
  return isPlain && groupBytes(DEQUANTIZED, rowLength) + PRODUCTS_BYTES <= THREAD_SCRATCH_BYTES;
}

/** All tokens of the chunk times groups of the weight.
 * @param scratch  address of the thread's scratch memory */
export function multiplyDequantized(machine: Machine, chunk: MatmulJob, groups: GroupRange, scratch: number): void {
  const { weight, numRows, rowLength } = chunk;
  const { bytes, floats } = machine.memory;
  const format = quantFormat(weight.dtype as Parameters<typeof quantFormat>[0]);
  const rowBytes = bytesPerRow(format.dtype, rowLength);
  const row = new Float32Array(rowLength);
  const packed = scratch + PRODUCTS_BYTES;
  floats.fill(0, packed / 4, (packed + groupBytes(DEQUANTIZED, rowLength)) / 4);
  for (let group = groups.first; group < groups.end; group++) {
    const first = group * GROUP_ROWS;
    const count = Math.min(GROUP_ROWS, numRows - first);
    for (let i = 0; i < count; i++) {
      const source = byteAddressOf(weight) + (first + i) * rowBytes;
      format.dequantize(bytes, source, row, 0, rowLength / format.blockSize);
      for (let k = 0, to = packed / 4 + i; k < rowLength; k++, to += GROUP_ROWS) floats[to] = row[k]!;
    }
    multiplyGroups(machine, chunk, { address: packed, isAlone: true, unpacked: 0, group, numGroups: 1 }, scratch);
  }
}
