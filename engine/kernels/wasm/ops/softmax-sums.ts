/** softmaxSums: a part is a range of segments, so that threads share the row of a sequence that runs alone. */
import { checkIndices } from '../../check-indices.ts';
import { partEnd, partStart } from '../../part.ts';
import { addressOf } from '../wasm-buffer.ts';
import { intsIn } from './index-inputs.ts';
import type { NativeOp } from './native-op.ts';

export const softmaxSums: NativeOp<'softmaxSums'> = {
  takes: () => true,
  run({ kernels, memory }, { logits, rows, temperatures, segmentSize, out }, { part }) {
    const [numRows, vocabSize] = logits.shape as [number, number];
    const [numQueries, numSegments] = out.shape as [number, number];
    const rowOf = intsIn(memory, rows);
    checkIndices('softmaxSums rows', rowOf, numRows);
    const [from, to] = [addressOf(logits), addressOf(out) / 4];
    const end = partEnd(numQueries * numSegments, part);
    for (let unit = partStart(numQueries * numSegments, part); unit < end; unit++) {
      const query = Math.floor(unit / numSegments);
      const start = (unit % numSegments) * segmentSize;
      const count = Math.min(segmentSize, vocabSize - start);
      const segment = from + (rowOf[query]! * vocabSize + start) * 4;
      const max = kernels.highest!(segment, count);
      const sum = Number.isFinite(max) ? kernels.sum_wide_exp!(segment, count, max, 1 / temperatures[query]!) : 0;
      const high = Math.fround(sum);
      memory.floats[to + 3 * unit] = max;
      memory.floats[to + 3 * unit + 1] = high;
      memory.floats[to + 3 * unit + 2] = sum - high;
    }
  },
};
