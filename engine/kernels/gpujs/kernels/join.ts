/** What becomes of a product where something lies in its place already: how matmul adds to a residual, and how the second
 * layer of a gated MLP meets the first. */
import type { KernelHelper } from '../kernel-source.ts';

/** How. Without one, a product is the result. */
export const JOINS = { none: 0, add: 1, silu: 2, gelu: 3 } as const;

/** The formulas are those of add.ts and gated-activation.ts. */
export function joined(join: number, earlier: number, product: number): number {
  if (join === 2) {
    return (earlier / (1 + Math.exp(Math.min(-earlier, 80)))) * product;
  }
  if (join === 3) {
    const twoU = 1.5957691216057308 * (earlier + 0.044715 * earlier * earlier * earlier);
    return (earlier / (1 + Math.exp(Math.min(-twoU, 80)))) * product;
  }
  return earlier + product;
}

/** The last parameters of every matmul kernel: what a product is added to, and what it joins. */
export const FINISH_PARAMETERS = { bias: 'f32', hasBias: 'integer', earlier: 'f32', join: 'integer' } as const;

export const JOIN_HELPERS: readonly KernelHelper[] = [joined];
