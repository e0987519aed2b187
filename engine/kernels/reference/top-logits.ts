/** The highest logits of each row: all that greedy choice and top-k sampling need of a vocabulary. */
import type { TopLogitsArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { floatsOf } from './host-memory.ts';

/** A part is a range of rows. Numerics: bits are copied, but for NaN. */
export function topLogits(args: TopLogitsArgs, part: Part = WHOLE): void {
  const [numRows, vocabSize] = args.logits.shape as [number, number];
  const numTop = args.out.shape[1]!;
  const logits = floatsOf(args.logits);
  const out = floatsOf(args.out);

  const end = partEnd(numRows, part);
  for (let r = partStart(numRows, part); r < end; r++) {
    const row = logits.subarray(r * vocabSize, (r + 1) * vocabSize);
    for (const [place, id] of bestIds(row, numTop).entries()) {
      out[2 * (r * numTop + place)] = id;
      out[2 * (r * numTop + place) + 1] = orLowest(row[id]!);
    }
  }
}

/** A list in order, into which each id is put where it belongs; what falls off its end is not among the best. */
function bestIds(row: Float32Array, count: number): number[] {
  const best: number[] = [];
  for (let id = 0; id < row.length && count > 0; id++) {
    const logit = orLowest(row[id]!);
    if (best.length === count) {
      if (!(logit > orLowest(row[best[count - 1]!]!))) continue;
      best.pop();
    }
    let place = best.length;
    while (place > 0 && orLowest(row[best[place - 1]!]!) < logit) place -= 1;
    best.splice(place, 0, id);
  }
  return best;
}

function orLowest(logit: number): number {
  return Number.isNaN(logit) ? Number.NEGATIVE_INFINITY : logit;
}
