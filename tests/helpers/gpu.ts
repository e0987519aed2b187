/** Whether this machine has a GPU to test with (software will do), and how a test says that it has none. */
import { probeWebGpu } from '../../engine/kernels/webgpu/probe-webgpu.ts';

const probe = await probeWebGpu();

export const hasGpu: boolean = probe.available;

/** Append to a suite's title, with `describe.skipIf(!hasGpu)`, so that a skip says why and what helps. */
export const gpuSkipNote: string = probe.available
  ? ''
  : ` [skipped: ${probe.reason}; node scripts/install-software-vulkan.ts brings one]`;
