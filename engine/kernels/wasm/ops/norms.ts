/** rmsNorm and layerNorm: a part is a range of rows. Of a few tokens every thread norms all: matmuls come next, and read them all. Weights and biases of any dtype. */
import type { RmsNormArgs } from '../../ops.ts';
import { partEnd, partStart } from '../../part.ts';
import { threadScratch } from '../linear-memory.ts';
import { addressOf } from '../wasm-buffer.ts';
import type { NativeOp } from './native-op.ts';
import { fitsOwnRows } from './own-rows.ts';
import { vectorIn, vectorsFit } from './vector-inputs.ts';

export const rmsNorm: NativeOp<'rmsNorm'> = {
  takes: ({ x }) => vectorsFit(x.shape[1]!, 1),
  keepsOwn,
  run(machine, args, { part, own }) {
    const { x, weight, eps, out } = args;
    const [numTokens, hiddenSize] = x.shape as [number, number];
    const rowBytes = hiddenSize * 4;
    const absent = { value: 1, length: hiddenSize };
    const gains = vectorIn(machine, weight, threadScratch(part.index), absent);
    const [from, to] = [addressOf(x), addressOf(out)];
    const [first, end] = [partStart(numTokens, part), partEnd(numTokens, part)];
    const norm = (t: number, target: number): void =>
      void machine.kernels.rms_norm!(
        from + t * rowBytes,
        gains,
        target + t * rowBytes,
        hiddenSize,
        1 / hiddenSize,
        eps,
      );
    if (keepsOwn(args)) {
      const rows = own.keep(machine, out, part.index);
      for (let t = 0; t < numTokens; t++) norm(t, rows);
      machine.memory.bytes.copyWithin(to + first * rowBytes, rows + first * rowBytes, rows + end * rowBytes);
    } else {
      for (let t = first; t < end; t++) norm(t, to);
    }
  },
};

/** In place, a thread would read what another has overwritten. */
function keepsOwn({ x, out }: RmsNormArgs): boolean {
  return fitsOwnRows(out) && x.buffer !== out.buffer;
}

export const layerNorm: NativeOp<'layerNorm'> = {
  takes: ({ x }) => vectorsFit(x.shape[1]!, 2),
  run(machine, { x, weight, bias, eps, out }, { part }) {
    const [numTokens, hiddenSize] = x.shape as [number, number];
    const rowBytes = hiddenSize * 4;
    const scratch = threadScratch(part.index);
    const gains = vectorIn(machine, weight, scratch, { value: 1, length: hiddenSize });
    const shifts = vectorIn(machine, bias, scratch + rowBytes, { value: 0, length: hiddenSize });
    const [from, to] = [addressOf(x), addressOf(out)];
    const end = partEnd(numTokens, part);
    for (let t = partStart(numTokens, part); t < end; t++) {
      const [row, target] = [from + t * rowBytes, to + t * rowBytes];
      machine.kernels.layer_norm!(row, gains, shifts, target, hiddenSize, 1 / hiddenSize, eps);
    }
  },
};
