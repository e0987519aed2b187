/** The WebGPU backend: as it comes, and with weights split over many small buffers. */
import { describe } from 'vitest';
import { createWebGpuBackend } from '../../engine/kernels/webgpu/webgpu-backend.ts';
import { gpuSkipNote, hasGpu } from '../helpers/gpu.ts';
import { describeBackend } from './describe-backend.ts';

describe.skipIf(!hasGpu)(`on a GPU${gpuSkipNote}`, () => {
  describeBackend('webgpu', () => createWebGpuBackend(), {
    skip: [{ reason: 'no kernel yet', ops: ['topLogits', 'softmaxSums'] }],
  });
});
