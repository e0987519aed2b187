/** Two numbers to one: what the elementwise ops do with `a` and `b`, and matmul kernels with what is in an output's place (a)
 * and their own result (b). */

/** In WGSL; geluMul needs `TANH_CODE`. */
export const FORMULAS = {
  add: 'a + b',
  // WGSL says nothing of a sum that overflows; past 87 the quotient is as good as 0.
  siluMul: 'a / (1.0 + exp(min(-a, 87.0))) * b',
  // sqrt(2 / pi)
  geluMul: '0.5 * a * (1.0 + tanh_safe(0.7978845608028654 * a * (1.0 + 0.044715 * a * a))) * b',
} as const;
