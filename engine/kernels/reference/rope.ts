/** Rotary position embedding: turns pairs of a head's dimensions by angles that grow with the token's position, so that
 * the product of a query and a key depends on their distance (Su et al. 2021, section 3.2). See docs/rope.md. */
import { checkIndices } from '../check-indices.ts';
import type { RopeArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { floatsOf, intsOf } from './host-memory.ts';

/** A part is a range of (token, head) rows. Numerics: f64 products and sums of the f32 values and the f32 table, one
 * rounding per output element.
 * @throws InvalidArgumentError for a position that the table does not reach. */
export function rope(args: RopeArgs, part: Part = WHOLE): void {
  const [numTokens, numHeads, headDim] = args.x.shape as [number, number, number];
  const [numPositions, rotaryDim] = args.table.shape as [number, number];
  const x = floatsOf(args.x);
  const positions = intsOf(args.positions);
  const table = floatsOf(args.table);
  checkIndices('rope positions', positions, numPositions);

  // Where pair i lies in the head:   interleaved (2i, 2i + 1)     neox (i, i + R/2)
  const numPairs = rotaryDim / 2;
  const pairStep = args.style === 'neox' ? 1 : 2;
  const partnerDistance = args.style === 'neox' ? numPairs : 1;

  const numRows = numTokens * numHeads;
  const end = partEnd(numRows, part);
  for (let row = partStart(numRows, part); row < end; row++) {
    const angles = positions[Math.floor(row / numHeads)]! * rotaryDim;
    for (let i = 0; i < numPairs; i++) {
      const cos = table[angles + 2 * i]!;
      const sin = table[angles + 2 * i + 1]!;
      const first = row * headDim + i * pairStep;
      const second = first + partnerDistance;
      const a = x[first]!;
      const b = x[second]!;
      x[first] = a * cos - b * sin;
      x[second] = a * sin + b * cos;
    }
  }
}
