/** How kernels store vectors that lie one after another. */
import type { I32, Statement, V128 } from '../emitter/code.ts';
import { v128 } from '../emitter/simd.ts';

/** Stores `vectors` at `address + byteOffset` and on. Of each two the upper first: V8 makes one 256-bit store of both in either
 * order, but where the lower comes first, it leaves that one's 128-bit store in front of it. */
export function storeVectors(address: I32, vectors: readonly V128[], byteOffset = 0): Statement[] {
  return vectors.map((_, i) => {
    const index = Math.min(i ^ 1, vectors.length - 1);
    return v128.store(address, vectors[index]!, byteOffset + 16 * index);
  });
}
