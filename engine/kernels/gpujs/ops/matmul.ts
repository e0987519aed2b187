/** matmul: one kernel by the weight's format, one launch for each buffer that the weight lies in. gatedMatmul: two of those, the
 * second over what the first left. */
import { quantFormat } from '../../../tensor/quant/quant-registry.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import type { GatedMatmulArgs, MatmulArgs } from '../../ops.ts';
import { JOINS } from '../kernels/join.ts';
import { MATMUL } from '../kernels/matmul.ts';
import type { ArrayView } from '../launch.ts';
import type { OpTarget } from './op-target.ts';
import { weightInputs } from './weight-inputs.ts';

export function matmul(target: OpTarget, { residual, out, ...layer }: MatmulArgs): void {
  const dims = [layer.x.shape[0]!, layer.weight.shape[0]!];
  const earlier = residual === undefined ? undefined : target.view(residual, dims);
  multiply(target, layer, { join: earlier === undefined ? 'none' : 'add', earlier, out: target.view(out, dims) });
}

export function gatedMatmul(target: OpTarget, args: GatedMatmulArgs): void {
  const { x, activation } = args;
  const out = target.view(args.out, [x.shape[0]!, args.gateWeight.shape[0]!]);
  const [gate, up] = [
    { x, weight: args.gateWeight, bias: args.gateBias },
    { x, weight: args.upWeight, bias: args.upBias },
  ];
  multiply(target, gate, { join: 'none', earlier: undefined, out });
  multiply(target, up, { join: activation, earlier: out, out });
}

interface Layer {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias?: Tensor | undefined;
}

interface Result {
  readonly join: keyof typeof JOINS;
  /** What products are joined with. */
  readonly earlier: ArrayView | undefined;
  readonly out: ArrayView;
}

function multiply(target: OpTarget, { x, weight, bias }: Layer, { join, earlier, out }: Result): void {
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
        ...weightInputs(source, part, ['x', 'bias', 'earlier']),
        x: xView,
        numIn,
        numBlocks: numIn / quantFormat(format).blockSize,
        // Something must be bound where there is none; it is not read.
        bias: biasView === undefined ? xView : { ...fromRow(biasView), dims: [numRows] },
        hasBias: biasView === undefined ? 0 : 1,
        earlier: earlier === undefined ? xView : fromRow(earlier),
        join: JOINS[join],
      },
      out: fromRow(out),
      threads: [numRows, numTokens],
    });
  }
}
