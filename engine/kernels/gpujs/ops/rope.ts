/** rope: one thread per rotated pair, in place. */
import { checkIndices } from '../../check-indices.ts';
import type { RopeArgs } from '../../ops.ts';
import { ROPE } from '../kernels/rope.ts';
import { checkInts, type OpTarget } from './op-target.ts';

export function rope(target: OpTarget, { x, positions, table, style }: RopeArgs): void {
  const [numTokens, numHeads, headDim] = x.shape as [number, number, number];
  const [numPositions, rotaryDim] = table.shape as [number, number];
  checkInts(target, positions, (ints) => checkIndices('rope positions', ints, numPositions));
  const numPairs = rotaryDim / 2;
  const xView = target.view(x, [numTokens, numHeads, headDim]);
  target.run(ROPE, {
    inputs: {
      x: xView,
      positions: target.view(positions, [numTokens]),
      table: target.view(table, [numPositions, rotaryDim]),
      pairStep: style === 'neox' ? 1 : 2,
      partnerDistance: style === 'neox' ? numPairs : 1,
    },
    out: xView,
    threads: [numPairs, numHeads, numTokens],
  });
}
