/** rmsNorm and layerNorm: a part is a range of rows. Weights and biases of any dtype. */
import { partEnd, partStart } from '../../part.ts';
import { threadScratch } from '../linear-memory.ts';
import { addressOf } from '../wasm-buffer.ts';
import type { NativeOp } from './native-op.ts';
import { vectorIn, vectorsFit } from './vector-inputs.ts';

export const rmsNorm: NativeOp<'rmsNorm'> = {
  takes: ({ x }) => vectorsFit(x.shape[1]!, 1),
  run(machine, { x, weight, eps, out }, { part }) {
    const [numTokens, hiddenSize] = x.shape as [number, number];
    const rowBytes = hiddenSize * 4;
    const absent = { value: 1, length: hiddenSize };
    const gains = vectorIn(machine, weight, threadScratch(part.index), absent);
    const [from, to] = [addressOf(x), addressOf(out)];
    const end = partEnd(numTokens, part);
    for (let t = partStart(numTokens, part); t < end; t++) {
      machine.kernels.rms_norm!(from + t * rowBytes, gains, to + t * rowBytes, hiddenSize, 1 / hiddenSize, eps);
    }
  },
};

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
