/** rmsNorm: a part is a range of rows. Native with an f32 weight, as files store norms. */
import { partEnd, partStart } from '../../part.ts';
import { addressOf } from '../wasm-buffer.ts';
import type { NativeOp } from './native-op.ts';

export const rmsNorm: NativeOp<'rmsNorm'> = {
  takes: ({ weight }) => weight?.dtype === 'f32',
  run({ kernels }, { x, weight, eps, out }, { part }) {
    const [numTokens, hiddenSize] = x.shape as [number, number];
    const rowBytes = hiddenSize * 4;
    const [from, gains, to] = [addressOf(x), addressOf(weight!), addressOf(out)];
    const end = partEnd(numTokens, part);
    for (let t = partStart(numTokens, part); t < end; t++) {
      kernels.rms_norm!(from + t * rowBytes, gains, to + t * rowBytes, hiddenSize, 1 / hiddenSize, eps);
    }
  },
};
