/** The gates of SwiGLU and GeGLU: act(gate) * up, element by element; the result may be either input. */
import type { KernelSource, KernelThread, Matrix } from '../kernel-source.ts';

/** silu(x) = x / (1 + e^-x) (Shazeer 2020, eq. 6). Threads (column, row).
 * The exponent is kept from overflowing: what WGSL then gives is not defined, and from 80 on the quotient is 0 anyway. */
function siluMul(this: KernelThread, gate: Matrix, up: Matrix): number {
  const x = gate[this.thread.y]![this.thread.x]!;
  return (x / (1 + Math.exp(Math.min(-x, 80)))) * up[this.thread.y]![this.thread.x]!;
}

/** gelu(x) = x/2 * (1 + tanh(u)) with u = sqrt(2/pi) * (x + 0.044715 x^3) (Hendrycks & Gimpel 2016, section 2).
 * Since (1 + tanh(u)) / 2 = 1 / (1 + e^-2u), it is the same shape as silu; 1.5957691216 is 2 sqrt(2/pi). */
function geluMul(this: KernelThread, gate: Matrix, up: Matrix): number {
  const x = gate[this.thread.y]![this.thread.x]!;
  const twoU = 1.5957691216057308 * (x + 0.044715 * x * x * x);
  return (x / (1 + Math.exp(Math.min(-twoU, 80)))) * up[this.thread.y]![this.thread.x]!;
}

export const SILU_MUL: KernelSource = {
  kernel: siluMul,
  parameters: { gate: 'f32', up: 'f32' },
  result: 'element',
};

export const GELU_MUL: KernelSource = {
  kernel: geluMul,
  parameters: { gate: 'f32', up: 'f32' },
  result: 'element',
};
