/** rope: a part is a range of (token, head) rows. */
import { checkIndices } from '../../check-indices.ts';
import { partEnd, partStart } from '../../part.ts';
import { addressOf } from '../wasm-buffer.ts';
import { intsIn } from './index-inputs.ts';
import type { NativeOp } from './native-op.ts';

export const rope: NativeOp<'rope'> = {
  takes: () => true,
  unitsOf: ({ x }) => x.shape[0]! * x.shape[1]!,
  run({ kernels, memory }, { x, positions, table, style }, { part }) {
    const [numTokens, numHeads, headDim] = x.shape as [number, number, number];
    const [numPositions, rotaryDim] = table.shape as [number, number];
    const indices = intsIn(memory, positions);
    checkIndices('rope positions', indices, numPositions);
    if (rotaryDim === 0) return;
    const [start, angles] = [addressOf(x), addressOf(table)];
    const numPairs = rotaryDim / 2;
    const [pairBytes, partnerBytes] = style === 'neox' ? [4, numPairs * 4] : [8, 4];
    const numRows = numTokens * numHeads;
    const end = partEnd(numRows, part);
    for (let row = partStart(numRows, part); row < end; row++) {
      const angle = angles + indices[Math.floor(row / numHeads)]! * rotaryDim * 4;
      kernels.rope!(start + row * headDim * 4, angle, numPairs, pairBytes, partnerBytes);
    }
  },
};
