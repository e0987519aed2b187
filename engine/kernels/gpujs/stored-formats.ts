/** How weights lie in GPU memory for compiled kernels: as in the file, quant block after quant block. Formats that no
 * kernel reads become f32 when they are loaded. */
import type { FloatDType } from '../../tensor/dtype.ts';
import { quantFormat } from '../../tensor/quant/quant-registry.ts';
import { matrixFormat, type WeightFormat } from '../webgpu/weight-formats/index.ts';
import { MATMUL } from './kernels/matmul.ts';
import type { KernelFormat } from './ops/op-target.ts';

const STORED: ReadonlyMap<FloatDType, WeightFormat> = new Map(
  (Object.keys(MATMUL) as KernelFormat[]).map((dtype) => [dtype, asStored(dtype)]),
);

/** The layout of a matrix of that dtype. */
export function storedLayout(dtype: FloatDType): WeightFormat {
  return STORED.get(dtype) ?? matrixFormat(dtype);
}

/** What the bytes of a matrix of that dtype are, once it is loaded. */
export function kernelFormat(dtype: FloatDType): KernelFormat {
  return STORED.has(dtype) ? (dtype as KernelFormat) : 'f32';
}

function asStored(dtype: KernelFormat): WeightFormat {
  const { blockSize, bytesPerBlock } = quantFormat(dtype);
  return {
    name: `${dtype} as stored`,
    blockSize,
    planeBytes: [bytesPerBlock],
    pack: (source, _numBlocks, planes) => planes[0]!.set(source),
    // Only kernels of webgpu/ put this into their code.
    groupCode: '',
  };
}
