/** rmsNorm and layerNorm: sums over parts of each row, then the elements. */
import type { LayerNormArgs, RmsNormArgs } from '../../ops.ts';
import { LAYER_NORM, SUM_ROW, SUM_SQUARED_DISTANCES } from '../kernels/layer-norm.ts';
import { RMS_NORM, SUM_SQUARES } from '../kernels/rms-norm.ts';
import type { OpTarget } from './op-target.ts';
import { rowParts } from './row-parts.ts';

export function rmsNorm(target: OpTarget, { x, weight, eps, out }: RmsNormArgs): void {
  const [numTokens, width] = x.shape as [number, number];
  const { numParts, partWidth } = rowParts(width);
  const xView = target.view(x, [numTokens, width]);
  const sums = target.scratch('sums', [numTokens, numParts]);
  target.run(SUM_SQUARES, { inputs: { x: xView, width, partWidth }, out: sums, threads: [numParts, numTokens] });
  target.run(RMS_NORM, {
    inputs: {
      x: xView,
      sums,
      numParts,
      // Something must be bound where there is none; it is not read.
      weight: weight === undefined ? sums : target.vector(weight),
      hasWeight: weight === undefined ? 0 : 1,
      width,
      eps,
    },
    out: target.view(out, [numTokens, width]),
    threads: [width, numTokens],
  });
}

export function layerNorm(target: OpTarget, { x, weight, bias, eps, out }: LayerNormArgs): void {
  const [numTokens, width] = x.shape as [number, number];
  const { numParts, partWidth } = rowParts(width);
  const xView = target.view(x, [numTokens, width]);
  const sums = target.scratch('sums', [numTokens, numParts]);
  const squares = target.scratch('squares', [numTokens, numParts]);
  const threads = [numParts, numTokens];
  target.run(SUM_ROW, { inputs: { x: xView, width, partWidth }, out: sums, threads });
  target.run(SUM_SQUARED_DISTANCES, {
    inputs: { x: xView, sums, numParts, width, partWidth },
    out: squares,
    threads,
  });
  target.run(LAYER_NORM, {
    inputs: {
      x: xView,
      sums,
      squares,
      numParts,
      weight: weight === undefined ? sums : target.vector(weight),
      hasWeight: weight === undefined ? 0 : 1,
      bias: bias === undefined ? sums : target.vector(bias),
      hasBias: bias === undefined ? 0 : 1,
      width,
      eps,
    },
    out: target.view(out, [numTokens, width]),
    threads: [width, numTokens],
  });
}
