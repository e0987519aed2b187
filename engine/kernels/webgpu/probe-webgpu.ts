/** Whether the GPU backends can run on this machine, and whether 'auto' should want them. */
import type { ProbeResult } from '../probe-result.ts';
import { findAdapter, summarizeAdapter, whyNoHardware } from './gpu-adapter.ts';

/** Software that plays a GPU will do. */
export async function probeWebGpu(): Promise<ProbeResult> {
  const found = await findAdapter();
  return typeof found === 'string' ? { available: false, reason: found } : { available: true };
}

/** Whether there is a GPU that is one. Loads no driver where the machine shows none. */
export async function hasHardwareGpu(): Promise<boolean> {
  if (whyNoHardware() !== undefined) return false;
  const found = await findAdapter();
  return typeof found !== 'string' && !summarizeAdapter(found.adapter).isSoftware;
}
