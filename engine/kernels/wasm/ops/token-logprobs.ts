/** tokenLogprobs: a part is a range of rows. */
import { checkIndices } from '../../check-indices.ts';
import { partEnd, partStart } from '../../part.ts';
import { addressOf } from '../wasm-buffer.ts';
import { intsIn } from './index-inputs.ts';
import type { NativeOp } from './native-op.ts';

export const tokenLogprobs: NativeOp<'tokenLogprobs'> = {
  takes: () => true,
  run({ kernels, memory }, { logits, tokenIds, out }, { part }) {
    const [numRows, vocabSize] = logits.shape as [number, number];
    const ids = intsIn(memory, tokenIds);
    checkIndices('tokenLogprobs tokenIds', ids, vocabSize);
    const [from, to] = [addressOf(logits), addressOf(out) / 4];
    const end = partEnd(numRows, part);
    for (let r = partStart(numRows, part); r < end; r++) {
      const row = from + r * vocabSize * 4;
      const max = kernels.row_max!(row, vocabSize);
      const sum = kernels.sum_exp!(row, vocabSize, max);
      memory.floats[to + r] = memory.floats[row / 4 + ids[r]!]! - max - Math.log(sum);
    }
  },
};
