/** How close is close enough: every tolerance that the kernel tests use, by op and dtype. */
import type { OpName } from '../../engine/kernels/ops.ts';
import type { DType } from '../../engine/tensor/dtype.ts';

/** Largest difference between the reference and `fixtures/kernels/*.ref64.f32` (float64, rounded once). */
export const FIXTURE_TOLERANCE = 1e-5;

/** Largest difference between the reference (one rounding) and a naive float64 formula of a test, relative to the
 * larger of 1 and the value: half a unit in the last place of f32 is 6e-8. */
export const NAIVE_TOLERANCE = 1e-7;

/** Largest difference between a backend and the reference, relative to the root mean square of the expected values. */
export const BACKEND_TOLERANCES: Readonly<
  Record<OpName, { readonly default: number } & Partial<Record<DType, number>>>
> = {
  gatherRows: { default: 0 },
  tokenLogprobs: { default: 1e-5 },
  topLogits: { default: 0 },
  // Of the sums. How close they come beyond f32 is tested by tests/unit/kernels/softmax-sums.test.ts.
  softmaxSums: { default: 1e-6 },
  embed: { default: 1e-6 },
  add: { default: 1e-6 },
  rope: { default: 1e-5 },
  siluMul: { default: 1e-5 },
  geluMul: { default: 1e-5 },
  rmsNorm: { default: 1e-5 },
  layerNorm: { default: 2e-5 },
  // f32 sums of some hundred products.
  matmul: { default: 1e-5 },
  // One matmul's error times the other's value, which may be some times its root mean square; and the other way round.
  // Formats that are only read have random bytes for scales, and a factor many times the root mean square (5.5e-5 was seen).
  // That the bits are those of matmul, matmul and activation is a property of its own (conformance/fusion.ts).
  gatedMatmul: { default: 5e-5, q2_k: 5e-4, q3_k: 5e-4, iq4_nl: 5e-4, iq4_xs: 5e-4 },
  // Seen through attention, as a page's bytes are the backend's own. A q8_0 level is 1/127 of the largest value of its
  // quant block; a quotient that lies on the edge between two levels may fall to either side, and in a key that moves a
  // weight of the softmax (0.0203 was seen).
  writeKv: { default: 2e-5, q8_0: 5e-2 },
  pagedAttention: { default: 2e-5, q8_0: 5e-2 },
  copyBlocks: { default: 2e-5, q8_0: 5e-2 },
};

/** Where one backend is coarser than the rest, and why. */
const TOLERANCES_OF_BACKEND: Readonly<Record<string, { readonly [Name in OpName]?: Partial<Record<DType, number>> }>> =
  {
    wasm: {
      // Activations are rounded to whole levels, as in llama.cpp. Uniform random values have a rounding error of
      // 1 / (sqrt(12) * levels), against a root mean square of 1 / sqrt(3): 1 / (2 * levels) of it, or 0.4 % for the
      // 127 levels that meet q4_0 and K-quants and 0.0015 % for the 32767 that meet q8_0. Six standard deviations of that.
      // Formats that are only read have random bytes for scales, so that a few blocks make up a row, and a row some times
      // the root mean square: f32 sums of up to 768 products, seen 1.2e-5 without fused multiply-adds.
      matmul: {
        ...{ q4_0: 2.5e-2, q4_k: 2.5e-2, q5_k: 2.5e-2, q6_k: 2.5e-2, q8_0: 1e-4 },
        ...{ q2_k: 5e-5, q3_k: 5e-5, iq4_nl: 5e-5, iq4_xs: 5e-5 },
      },
      // Five times that, as in `BACKEND_TOLERANCES`. (7e-2 was seen of q6_k.)
      gatedMatmul: {
        ...{ q4_0: 1.25e-1, q4_k: 1.25e-1, q5_k: 1.25e-1, q6_k: 1.25e-1, q8_0: 5e-4 },
      },
    },
  };

/** Largest difference of an op of a backend from the reference, relative as in `BACKEND_TOLERANCES`. */
export function toleranceOf(backend: string, op: OpName, dtype: DType): number {
  const common = BACKEND_TOLERANCES[op];
  return TOLERANCES_OF_BACKEND[backend]?.[op]?.[dtype] ?? common[dtype] ?? common.default;
}

/** Largest difference of a matmul whose activations were rounded to 127 levels per 32 from one in f32, relative to the root
 * mean square: the same rounding, and the same bound, as that of wasm's matmul of q4_0 above. */
export const INT8_ACTIVATIONS_TOLERANCE = 2.5e-2;

/** Largest error of attention over a KV cache of fewer bits, for values up to 1 and scores up to about 10. f16 keeps 11
 * bits of each number; q8_0 rounds to 127 levels, and a rounded key moves its weight in the softmax. Measured over
 * 6,600 random sequences each: f16 median 0.0003, largest 0.0009; q8_0 median 0.007, largest 0.022. */
export const KV_CACHE_ERROR = { f32: 1e-6, f16: 2e-3, q8_0: 5e-2 } as const;
