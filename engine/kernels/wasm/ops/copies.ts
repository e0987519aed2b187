/** gatherRows and copyBlocks: rows and pages that only move. */

import { checkIndices } from '../../check-indices.ts';
import { partEnd, partStart } from '../../part.ts';
import { addressOf, byteAddressOf } from '../wasm-buffer.ts';
import { intsIn } from './index-inputs.ts';
import type { NativeOp } from './native-op.ts';

const LINE_BYTES = 64;

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

/** A part is a range of bytes of every block, cut at cache lines, so that each part can carry out the copies in their
 * order without waiting for the others. */
export const copyBlocks: NativeOp<'copyBlocks'> = {
  takes: () => true,
  run({ memory }, { keyCache, valueCache, copies }, { part }) {
    const numBlocks = keyCache.shape[0]!;
    const pairs = intsIn(memory, copies);
    checkIndices('copyBlocks copies', pairs, numBlocks);
    for (const cache of [keyCache, valueCache]) {
      const blockBytes = cache.byteLength / numBlocks;
      const numLines = Math.ceil(blockBytes / LINE_BYTES);
      const start = Math.min(blockBytes, partStart(numLines, part) * LINE_BYTES);
      const end = Math.min(blockBytes, partEnd(numLines, part) * LINE_BYTES);
      const first = byteAddressOf(cache);
      for (let i = 0; i < pairs.length; i += 2) {
        const [source, target] = [first + pairs[i]! * blockBytes, first + pairs[i + 1]! * blockBytes];
        memory.bytes.copyWithin(target + start, source + start, source + end);
      }
    }
  },
};
