/** matmul: one kernel by the weight's format, one launch for each buffer that the weight lies in. gatedMatmul: two of those,
 * and the activation's kernel. */
import { quantFormat } from '../../../tensor/quant/quant-registry.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import type { GatedMatmulArgs, MatmulArgs } from '../../ops.ts';
import { GELU_MUL, SILU_MUL } from '../kernels/gated-activation.ts';
import { MATMUL } from '../kernels/matmul.ts';
import type { ArrayView } from '../launch.ts';
import type { OpTarget } from './op-target.ts';
import { weightInputs } from './weight-inputs.ts';

export function matmul(target: OpTarget, { residual, out, ...layer }: MatmulArgs): void {
  const dims = [layer.x.shape[0]!, layer.weight.shape[0]!];
  multiply(target, layer, {
    residual: residual === undefined ? undefined : target.view(residual, dims),
    out: target.view(out, dims),
  });
}

export function gatedMatmul(target: OpTarget, args: GatedMatmulArgs): void {
  const { x } = args;
  const dims = [x.shape[0]!, args.gateWeight.shape[0]!];
  const [gate, up] = [target.view(args.out, dims), target.scratch('up', dims)];
  multiply(target, { x, weight: args.gateWeight, bias: args.gateBias }, { residual: undefined, out: gate });
  multiply(target, { x, weight: args.upWeight, bias: args.upBias }, { residual: undefined, out: up });
  const source = args.activation === 'silu' ? SILU_MUL : GELU_MUL;
  target.run(source, { inputs: { gate, up }, out: gate, threads: [dims[1]!, dims[0]!] });
}

interface Layer {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias?: Tensor | undefined;
}

function multiply(
  target: OpTarget,
  { x, weight, bias }: Layer,
  { residual, out }: { readonly residual: ArrayView | undefined; readonly out: ArrayView },
): void {
  const [numTokens, numIn] = x.shape as [number, number];
  const { format, parts } = target.weight(weight);
  const source = MATMUL[format];
  const xView = target.view(x, [numTokens, numIn]);
  const biasView = bias === undefined ? undefined : target.vector(bias);
  for (const part of parts) {
    const { firstRow, numRows } = part;
    // The columns of these rows of the weight, in rows that stay as long as they are.
    const fromRow = (view: ArrayView): ArrayView => ({ ...view, start: view.start + firstRow });
    target.run(source, {
      inputs: {
        ...weightInputs(source, part, ['x', 'bias', 'residual']),
        x: xView,
        numIn,
        numBlocks: numIn / quantFormat(format).blockSize,
        // Something must be bound where there is none; it is not read.
        bias: biasView === undefined ? xView : { ...fromRow(biasView), dims: [numRows] },
        hasBias: biasView === undefined ? 0 : 1,
        residual: residual === undefined ? xView : fromRow(residual),
        hasResidual: residual === undefined ? 0 : 1,
      },
      out: fromRow(out),
      threads: [numRows, numTokens],
    });
  }
}
