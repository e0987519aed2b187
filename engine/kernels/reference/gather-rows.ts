/** Copies chosen rows: the hidden states of those tokens whose logits somebody wants. */
import { checkIndices } from '../check-indices.ts';
import type { GatherRowsArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { floatsOf, intsOf } from './host-memory.ts';

/** A part is a range of output rows. Numerics: bits are copied.
 * @throws InvalidArgumentError for a row that x does not have. */
export function gatherRows(args: GatherRowsArgs, part: Part = WHOLE): void {
  const [numTokens, hiddenSize] = args.x.shape as [number, number];
  const x = floatsOf(args.x);
  const rows = intsOf(args.rows);
  const out = floatsOf(args.out);
  checkIndices('gatherRows rows', rows, numTokens);

  const end = partEnd(rows.length, part);
  for (let r = partStart(rows.length, part); r < end; r++) {
    for (let i = 0; i < hiddenSize; i++) out[r * hiddenSize + i] = x[rows[r]! * hiddenSize + i]!;
  }
}
