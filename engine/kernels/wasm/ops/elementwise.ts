/** add, siluMul and geluMul: a part is a range of elements, cut at cache lines so that no two threads write to one. */
import type { Part } from '../../part.ts';
import { partEnd, partStart } from '../../part.ts';
import { addressOf } from '../wasm-buffer.ts';
import type { NativeOp } from './native-op.ts';

const ELEMENTS_PER_LINE = 16;

export const add: NativeOp<'add'> = {
  takes: () => true,
  run({ kernels }, { a, b, out }, { part }) {
    const [first, count] = elementsOf(out.numElements, part);
    kernels.add!(addressOf(a) + 4 * first, addressOf(b) + 4 * first, addressOf(out) + 4 * first, count, 1, 0, 0);
  },
};

export const siluMul: NativeOp<'siluMul'> = {
  takes: () => true,
  run({ kernels }, { gate, up, out }, { part }) {
    const [first, count] = elementsOf(out.numElements, part);
    kernels.silu_mul!(
      addressOf(gate) + 4 * first,
      addressOf(up) + 4 * first,
      addressOf(out) + 4 * first,
      count,
      1,
      0,
      0,
    );
  },
};

export const geluMul: NativeOp<'geluMul'> = {
  takes: () => true,
  run({ kernels }, { gate, up, out }, { part }) {
    const [first, count] = elementsOf(out.numElements, part);
    kernels.gelu_mul!(
      addressOf(gate) + 4 * first,
      addressOf(up) + 4 * first,
      addressOf(out) + 4 * first,
      count,
      1,
      0,
      0,
    );
  },
};

/** First element and number of elements of a part. */
function elementsOf(numElements: number, part: Part): readonly [number, number] {
  const numLines = Math.ceil(numElements / ELEMENTS_PER_LINE);
  const first = Math.min(numElements, partStart(numLines, part) * ELEMENTS_PER_LINE);
  const end = Math.min(numElements, partEnd(numLines, part) * ELEMENTS_PER_LINE);
  return [first, end - first];
}
