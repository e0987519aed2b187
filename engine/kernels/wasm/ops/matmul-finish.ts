/** What becomes of products on their way to `out`: the bias, and what the op joins them with. A thread does it to the
 * products of a tile while they are in its cache, so that nobody has to pass over them a second time.
 *
 *   matmul                y = products + bias     out = y
 *   matmul, residual      y = products + bias     out = residual + y
 *   gatedMatmul           y = products + bias     out = y with the gate's weight, then out = act(out) * y with the other */
import type { Tensor } from '../../../tensor/tensor.ts';
import { vectorOf } from '../../reference/host-memory.ts';
import type { LinearMemory } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { addressOf } from '../wasm-buffer.ts';
import { hostTensor } from './host-tensor.ts';
import type { MatmulJob } from './matmul-job.ts';

/** An elementwise kernel of two operands, and the address of the first, which lies like `out`. */
export interface Join {
  readonly kernel: 'add' | 'silu_mul' | 'gelu_mul';
  readonly operand: number;
}

/** The address of an f32 bias, or the values of another. */
export type Bias = number | Float32Array;

export function biasOf(memory: LinearMemory, bias: Tensor | undefined): Bias | undefined {
  if (bias === undefined) return undefined;
  return bias.dtype === 'f32' ? addressOf(bias) : vectorOf(hostTensor(memory, bias));
}

/** Whether products are outputs as they are. */
export const isPlain = ({ bias, join }: MatmulJob): boolean => bias === undefined && join === undefined;

/** Outputs of some tokens for some weight rows. */
export interface Outputs {
  readonly firstToken: number;
  readonly numTokens: number;
  readonly firstRow: number;
  readonly numRows: number;
}

/** Where products lie, and how many bytes it is from token to token. */
export interface Products {
  readonly address: number;
  readonly stride: number;
}

/** Takes products to where they belong. Where there is a bias it is added in place. */
export function finish(
  { kernels, memory }: Machine,
  { bias, join, out, numRows: outWidth }: MatmulJob,
  { firstToken, numTokens, firstRow, numRows }: Outputs,
  { address, stride }: Products,
): void {
  for (let m = 0; m < numTokens; m++) {
    const y = address + m * stride;
    const place = ((firstToken + m) * outWidth + firstRow) * 4;
    if (typeof bias === 'number') kernels.add!(y, bias + firstRow * 4, y, numRows);
    else if (bias !== undefined) for (let i = 0; i < numRows; i++) memory.floats[y / 4 + i]! += bias[firstRow + i]!;
    if (join === undefined) memory.bytes.copyWithin(out + place, y, y + numRows * 4);
    else kernels[join.kernel]!(join.operand + place, y, out + place, numRows);
  }
}
