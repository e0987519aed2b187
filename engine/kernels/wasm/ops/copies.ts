/** gatherRows, and writeKv into an f32 cache: rows of numbers that only move. */
import { checkIndices, checkSlots } from '../../check-indices.ts';
import { partEnd, partStart } from '../../part.ts';
import { addressOf } from '../wasm-buffer.ts';
import { intsIn } from './index-inputs.ts';
import type { NativeOp } from './native-op.ts';

/** A part is a range of output rows. */
export const gatherRows: NativeOp<'gatherRows'> = {
  takes: () => true,
  run({ memory }, { x, rows, out }, { part }) {
    const [numTokens, hiddenSize] = x.shape as [number, number];
    const indices = intsIn(memory, rows);
    checkIndices('gatherRows rows', indices, numTokens);
    const [from, to] = [addressOf(x) / 4, addressOf(out) / 4];
    const end = partEnd(indices.length, part);
    for (let r = partStart(indices.length, part); r < end; r++) {
      const start = from + indices[r]! * hiddenSize;
      memory.floats.copyWithin(to + r * hiddenSize, start, start + hiddenSize);
    }
  },
};

/** A part is a range of tokens. */
export const writeKv: NativeOp<'writeKv'> = {
  takes: ({ keyCache, valueCache }) => keyCache.dtype === 'f32' && valueCache.dtype === 'f32',
  run({ memory }, { k, v, keyCache, valueCache, slotMapping }, { part }) {
    const [numTokens, numKvHeads, headDim] = k.shape as [number, number, number];
    const [numBlocks, , blockSize] = keyCache.shape as [number, number, number, number];
    const slots = intsIn(memory, slotMapping);
    checkSlots(slots, numBlocks * blockSize);
    const [fromK, fromV] = [addressOf(k) / 4, addressOf(v) / 4];
    const [toK, toV] = [addressOf(keyCache) / 4, addressOf(valueCache) / 4];
    const end = partEnd(numTokens, part);
    for (let t = partStart(numTokens, part); t < end; t++) {
      const slot = slots[t]!;
      if (slot === -1) continue;
      const firstRow = Math.floor(slot / blockSize) * numKvHeads * blockSize + (slot % blockSize);
      for (let head = 0; head < numKvHeads; head++) {
        const source = (t * numKvHeads + head) * headDim;
        const target = (firstRow + head * blockSize) * headDim;
        memory.floats.copyWithin(toK + target, fromK + source, fromK + source + headDim);
        memory.floats.copyWithin(toV + target, fromV + source, fromV + source + headDim);
      }
    }
  },
};
