/** matmul: one kernel by the weight's format, one launch for each buffer that the weight lies in. */
import { quantFormat } from '../../../tensor/quant/quant-registry.ts';
import type { MatmulArgs } from '../../ops.ts';
import { MATMUL } from '../kernels/matmul.ts';
import type { OpTarget } from './op-target.ts';
import { weightInputs } from './weight-inputs.ts';

export function matmul(target: OpTarget, { x, weight, bias, out }: MatmulArgs): void {
  const [numTokens, numIn] = x.shape as [number, number];
  const [numOut] = weight.shape as [number, number];
  const { format, parts } = target.weight(weight);
  const source = MATMUL[format];
  const xView = target.view(x, [numTokens, numIn]);
  const outView = target.view(out, [numTokens, numOut]);
  const biasView = bias === undefined ? undefined : target.vector(bias);
  for (const part of parts) {
    const { firstRow, numRows } = part;
    target.run(source, {
      inputs: {
        ...weightInputs(source, part, ['x', 'bias']),
        x: xView,
        numIn,
        numBlocks: numIn / quantFormat(format).blockSize,
        // Something must be bound where there is none; it is not read.
        bias: biasView === undefined ? xView : { ...biasView, dims: [numRows], start: biasView.start + firstRow },
        hasBias: biasView === undefined ? 0 : 1,
      },
      // The columns of these rows of the weight, in rows that stay `numOut` long.
      out: { ...outView, start: outView.start + firstRow },
      threads: [numRows, numTokens],
    });
  }
}
