/** Ops on one element at a time: add, siluMul, geluMul. Tensors of any rank are seen as rows. */
import { numRows, rowSize } from '../../../tensor/shape.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import type { AddArgs, GatedActivationArgs } from '../../ops.ts';
import type { KernelSource } from '../kernel-source.ts';
import { ADD } from '../kernels/add.ts';
import { GELU_MUL, SILU_MUL } from '../kernels/gated-activation.ts';
import type { OpTarget } from './op-target.ts';

export function add(target: OpTarget, { a, b, out }: AddArgs): void {
  elementwise(target, ADD, { a, b }, out);
}

export function siluMul(target: OpTarget, { gate, up, out }: GatedActivationArgs): void {
  elementwise(target, SILU_MUL, { gate, up }, out);
}

export function geluMul(target: OpTarget, { gate, up, out }: GatedActivationArgs): void {
  elementwise(target, GELU_MUL, { gate, up }, out);
}

function elementwise(
  target: OpTarget,
  source: KernelSource,
  inputs: Readonly<Record<string, Tensor>>,
  out: Tensor,
): void {
  const dims = [numRows(out.shape), rowSize(out.shape)] as const;
  const views = Object.entries(inputs).map(([name, tensor]) => [name, target.view(tensor, dims)] as const);
  target.run(source, {
    inputs: Object.fromEntries(views),
    out: target.view(out, dims),
    threads: [dims[1], dims[0]],
  });
}
