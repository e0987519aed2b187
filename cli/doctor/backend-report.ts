/** What each backend of the registry says about this machine, and which one 'auto' takes. */
import type { BackendEntry } from '../../engine/kernels/backend-registry.ts';
import { BACKENDS, orderForAuto, probeBackends } from '../../engine/kernels/backend-registry.ts';
import type { FeatureState } from '../../engine/kernels/kernel-backend.ts';

export interface BackendReport {
  readonly name: string;
  readonly available: boolean;
  /** Why it is not available, or why it could not be started although its probe liked the machine. */
  readonly reason: string | null;
  /** The one that 'auto' takes. */
  readonly chosen: boolean;
  readonly features: Readonly<Record<string, FeatureState>>;
}

/** In the order in which 'auto' prefers them here. Starts and closes each available backend once, as only a running one
 * knows what it really uses. */
export async function backendReports(backends: readonly BackendEntry[] = BACKENDS): Promise<BackendReport[]> {
  const ordered = await orderForAuto(backends);
  const probes = await probeBackends(ordered);
  const chosen = probes.find(({ available }) => available)?.name;
  const reports: BackendReport[] = [];
  for (const [i, probe] of probes.entries()) {
    const common = { name: probe.name, chosen: probe.name === chosen };
    if (!probe.available) {
      reports.push({ ...common, available: false, reason: probe.reason, features: {} });
      continue;
    }
    try {
      const backend = await ordered[i]!.create({});
      const features = backend.features ?? {};
      await backend.close();
      reports.push({ ...common, available: true, reason: null, features });
    } catch (error) {
      const reason = `does not start: ${error instanceof Error ? error.message : String(error)}`;
      reports.push({ ...common, available: false, reason, features: {} });
    }
  }
  return reports;
}
