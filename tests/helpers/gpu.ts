/** Whether this machine has a GPU to test with (software will do), and how a test says that it has none. */
import { probeWebGpu } from '../../engine/kernels/webgpu/probe-webgpu.ts';
import { ADAPTER_VARIABLE } from './software-vulkan.ts';

const probe = await probeWebGpu();

export const hasGpu: boolean = probe.available;

// Set where a GPU was just installed: then none is a fault, and no reason to skip.
if (!probe.available && process.env.QUERN_REQUIRE_GPU === '1') throw new Error(`no GPU to test with: ${probe.reason}`);

/** Append to a suite's title, with `describe.skipIf(!hasGpu)`, so that a skip says why and what helps. */
export const gpuSkipNote: string = probe.available ? '' : ` [skipped: ${probe.reason}; npm run install:gpu brings one]`;

/** SwiftShader takes tens of times as long as lavapipe: tests that can do with less, do. */
export const isSlowGpu: boolean = process.env[ADAPTER_VARIABLE] === 'swiftshader';
