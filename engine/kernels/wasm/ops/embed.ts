/** embed from a packed weight, which a tied output projection shares: a part is a range of tokens. */
import { checkIndices } from '../../check-indices.ts';
import { partEnd, partStart } from '../../part.ts';
import { GROUP_ROWS } from '../generators/matmul-tile.ts';
import { groupBytes } from '../packing/packed-format.ts';
import { addressOf, packingOf, type WasmBuffer } from '../wasm-buffer.ts';
import { intsIn } from './index-inputs.ts';
import type { NativeOp } from './native-op.ts';

export const embed: NativeOp<'embed'> = {
  takes: ({ weight }) => packingOf(weight) !== undefined,
  run({ memory }, { tokenIds, weight, out }, { part }) {
    const { format, numRows, rowLength } = packingOf(weight)!;
    const ids = intsIn(memory, tokenIds);
    checkIndices('embed tokenIds', ids, numRows);
    const start = (weight.buffer as WasmBuffer).address;
    const bytesPerGroup = groupBytes(format, rowLength);
    const to = addressOf(out) / 4;
    const end = partEnd(ids.length, part);
    for (let t = partStart(ids.length, part); t < end; t++) {
      const row = ids[t]!;
      const group = start + Math.floor(row / GROUP_ROWS) * bytesPerGroup;
      format.readRow(memory.bytes, group, row % GROUP_ROWS, memory.floats, to + t * rowLength, rowLength);
    }
  },
};
