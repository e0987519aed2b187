/** Whether the gpujs backend can run on this machine: both of its optional packages, and a GPU. */
import { UnsupportedError } from '../../errors.ts';
import type { ProbeResult } from '../probe-result.ts';
import { probeWebGpu } from '../webgpu/probe-webgpu.ts';
import { loadGpujs } from './load-gpujs.ts';

/** A GPU that is software will do: whoever asks for this backend asks for it by name. */
export async function probeGpujs(): Promise<ProbeResult> {
  try {
    await loadGpujs();
  } catch (error) {
    if (error instanceof UnsupportedError) return { available: false, reason: String(error.details.reason) };
    throw error;
  }
  return probeWebGpu();
}
