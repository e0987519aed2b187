/** The WebGPU backend: as it comes, and with everything that a device may lack switched off or on by turns. */
import { describe } from 'vitest';
import { createWebGpuBackend } from '../../engine/kernels/webgpu/webgpu-backend.ts';
import { gpuSkipNote, hasGpu } from '../helpers/gpu.ts';
import { describeBackend } from './describe-backend.ts';

describe.skipIf(!hasGpu)(`on a GPU${gpuSkipNote}`, () => {
  describeBackend('webgpu', () => createWebGpuBackend());

  describe('without subgroups, weights split over small buffers, matmul in tiles, attention in sections', () => {
    const options = { subgroups: 'off', maxWeightBytes: 8192, minTokensOfTile: 1, sectionSize: 64 } as const;
    describeBackend('webgpu', () => createWebGpuBackend(options));
  });
});
