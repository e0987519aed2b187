/** What becomes of products on their way to `out`: the bias, and what the op joins them with. A kernel adds an f32 bias and
 * a residual as it stores its tile; the rest happens here, to a tile's products in the thread's scratch memory. Nobody has
 * to pass over the outputs a second time.
 *
 *   matmul                y = products + bias     out = y
 *   matmul, residual      y = products + bias     out = residual + y
 *   gatedMatmul           y = products + bias     out = y with the gate's weight, then out = act(out) * y with the other */
import type { Machine } from '../machine.ts';
import type { MatmulJob } from './matmul-job.ts';

/** Whether a kernel can do all that becomes of the products of whole groups. */
export function isForKernels({ bias, join }: MatmulJob): boolean {
  return !(bias instanceof Float32Array) && (join === undefined || join.kernel === 'add');
}

/** Outputs of some tokens for some weight rows. */
export interface Outputs {
  readonly firstToken: number;
  readonly numTokens: number;
  readonly firstRow: number;
  readonly numRows: number;
}

/** Where products lie, to which a kernel has added an f32 bias, and how many bytes it is from token to token. */
export interface Products {
  readonly address: number;
  readonly stride: number;
}

/** Takes products to where they belong; another bias is added in place. */
export function finish(
  { kernels, memory }: Machine,
  { bias, join, out, numRows: outWidth }: MatmulJob,
  { firstToken, numTokens, firstRow, numRows }: Outputs,
  { address, stride }: Products,
): void {
  const place = (firstToken * outWidth + firstRow) * 4;
  if (bias instanceof Float32Array) {
    for (let m = 0; m < numTokens; m++) {
      const y = (address + m * stride) / 4;
      for (let i = 0; i < numRows; i++) memory.floats[y + i]! += bias[firstRow + i]!;
    }
  }
  if (join === undefined) {
    for (let m = 0; m < numTokens; m++) {
      const y = address + m * stride;
      memory.bytes.copyWithin(out + place + m * outWidth * 4, y, y + numRows * 4);
    }
  } else {
    const kernel = kernels[join.kernel]!;
    kernel(join.operand + place, address, out + place, numRows, numTokens, outWidth * 4, stride);
  }
}
