/** Every matmul kernel by the format of its weight. */
import type { KernelSource } from '../kernel-source.ts';
import { MATMUL_FLOAT } from './matmul-float.ts';
import { MATMUL_Q4_0 } from './matmul-q4-0.ts';
import { MATMUL_Q4_K } from './matmul-q4-k.ts';
import { MATMUL_Q6_K } from './matmul-q6-k.ts';
import { MATMUL_Q8_0 } from './matmul-q8-0.ts';

export const MATMUL = {
  ...MATMUL_FLOAT,
  q4_0: MATMUL_Q4_0,
  q8_0: MATMUL_Q8_0,
  q4_k: MATMUL_Q4_K,
  q6_k: MATMUL_Q6_K,
} as const satisfies Record<string, KernelSource>;
