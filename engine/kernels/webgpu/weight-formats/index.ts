/** Which layout a weight gets on the GPU. Formats without WGSL of their own are spread out to f32 when they are loaded: the
 * same values, in more memory. */
import type { FloatDType } from '../../../tensor/dtype.ts';
import { quantFormat } from '../../../tensor/quant/quant-registry.ts';
import { BF16_WEIGHTS, F16_WEIGHTS, F32_WEIGHTS } from './float-formats.ts';
import { Q4_0_WEIGHTS } from './q4-0.ts';
import { Q4_K_WEIGHTS } from './q4-k.ts';
import { Q6_K_WEIGHTS } from './q6-k.ts';
import { Q8_0_WEIGHTS } from './q8-0.ts';
import type { WeightFormat } from './weight-format.ts';

const FORMATS: { readonly [D in FloatDType]?: WeightFormat } = {
  f32: F32_WEIGHTS,
  f16: F16_WEIGHTS,
  bf16: BF16_WEIGHTS,
  q8_0: Q8_0_WEIGHTS,
  q4_0: Q4_0_WEIGHTS,
  q4_k: Q4_K_WEIGHTS,
  q6_k: Q6_K_WEIGHTS,
};

/** The layout of a matrix of that dtype. */
export function matrixFormat(dtype: FloatDType): WeightFormat {
  return FORMATS[dtype] ?? asF32(dtype);
}

/** The layout of anything else (norms, biases), which is small and read element by element. */
export function vectorFormat(dtype: FloatDType): WeightFormat {
  return dtype === 'f32' ? F32_WEIGHTS : asF32(dtype);
}

function asF32(dtype: FloatDType): WeightFormat {
  const { blockSize, dequantize } = quantFormat(dtype);
  return {
    ...F32_WEIGHTS,
    blockSize,
    planeBytes: [4 * blockSize],
    pack(source, numBlocks, [plane]) {
      const values = new Float32Array(plane!.buffer, plane!.byteOffset, numBlocks * blockSize);
      dequantize(source, 0, values, 0, numBlocks);
    },
  };
}

export type { WeightFormat } from './weight-format.ts';
export { GROUP_SIZE } from './weight-format.ts';
