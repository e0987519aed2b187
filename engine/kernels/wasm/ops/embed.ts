/** embed from a packed weight, which a tied output projection shares: a part is a range of tokens. */
import { checkIndices } from '../../check-indices.ts';
import { partEnd, partStart } from '../../part.ts';
import { readPackedRow } from '../packing/pack-rows.ts';
import { addressOf, packingOf, type WasmBuffer } from '../wasm-buffer.ts';
import { intsIn } from './index-inputs.ts';
import type { NativeOp } from './native-op.ts';

export const embed: NativeOp<'embed'> = {
  takes: ({ weight }) => packingOf(weight) !== undefined,
  run({ memory }, { tokenIds, weight, out }, { part }) {
    const packing = packingOf(weight)!;
    const ids = intsIn(memory, tokenIds);
    checkIndices('embed tokenIds', ids, packing.numRows);
    const { address } = weight.buffer as WasmBuffer;
    const to = addressOf(out) / 4;
    const end = partEnd(ids.length, part);
    for (let t = partStart(ids.length, part); t < end; t++) {
      readPackedRow(memory, { address, packing }, ids[t]!, memory.floats.subarray(to + t * packing.rowLength));
    }
  },
};
