/** topLogits: a part is a range of rows.
 *
 * The best so far are a heap with the worst of them on top. A kernel runs over the row until it finds a logit above that
 * one, which happens some K * ln(V / K) times in a row without order; only then does code here put the heap right.
 *
 *   out's row while it is filled    [ worst | child | child | ... ]     each (id, logit)
 *   and in the end                  [ best  | next  | ...         ]     heapsort: the worst goes to the back, again and again */
import { partEnd, partStart } from '../../part.ts';
import { addressOf } from '../wasm-buffer.ts';
import type { NativeOp } from './native-op.ts';

export const topLogits: NativeOp<'topLogits'> = {
  takes: () => true,
  run({ kernels, memory }, { logits, out }, { part }) {
    const [numRows, vocabSize] = logits.shape as [number, number];
    const numTop = out.shape[1]!;
    if (numTop === 0) return;
    const [from, to] = [addressOf(logits), addressOf(out) / 4];
    const end = partEnd(numRows, part);
    for (let r = partStart(numRows, part); r < end; r++) {
      const row = from + r * vocabSize * 4;
      const heap = memory.floats.subarray(to + r * numTop * 2, to + (r + 1) * numTop * 2);
      fillHeap(heap, memory.floats.subarray(row / 4, row / 4 + numTop));
      for (let id = numTop; id < vocabSize; id++) {
        id += kernels.find_above!(row + id * 4, vocabSize - id, heap[1]!);
        if (id === vocabSize) break;
        siftDown(heap, numTop, 0, id, memory.floats[row / 4 + id]!);
      }
      sortHeap(heap, numTop);
    }
  },
};

/** The row's first logits. */
function fillHeap(heap: Float32Array, first: Float32Array): void {
  const size = first.length;
  for (let id = 0; id < size; id++) {
    heap[2 * id] = id;
    heap[2 * id + 1] = Number.isNaN(first[id]!) ? Number.NEGATIVE_INFINITY : first[id]!;
  }
  for (let node = (size >> 1) - 1; node >= 0; node--) siftDown(heap, size, node, heap[2 * node]!, heap[2 * node + 1]!);
}

function sortHeap(heap: Float32Array, size: number): void {
  for (let last = size - 1; last > 0; last--) {
    const [id, logit] = [heap[2 * last]!, heap[2 * last + 1]!];
    heap[2 * last] = heap[0]!;
    heap[2 * last + 1] = heap[1]!;
    siftDown(heap, last, 0, id, logit);
  }
}

/** Puts a token where node `start` is, or below, so that no child is worse than its parent: of a lower logit, or of an
 * equal one and a higher id. What was at `start` is overwritten. */
function siftDown(heap: Float32Array, size: number, start: number, id: number, logit: number): void {
  let node = start;
  for (;;) {
    let child = 2 * node + 1;
    if (child >= size) break;
    if (child + 1 < size && isWorse(heap, child + 1, heap[2 * child]!, heap[2 * child + 1]!)) child += 1;
    if (!isWorse(heap, child, id, logit)) break;
    heap[2 * node] = heap[2 * child]!;
    heap[2 * node + 1] = heap[2 * child + 1]!;
    node = child;
  }
  heap[2 * node] = id;
  heap[2 * node + 1] = logit;
}

/** Whether the token at a node is worse than another. */
function isWorse(heap: Float32Array, node: number, id: number, logit: number): boolean {
  const other = heap[2 * node + 1]!;
  return other < logit || (other === logit && heap[2 * node]! > id);
}
