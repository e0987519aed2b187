/** How many threads this process may really keep busy. In a container the host's core count misleads: the group's quota
 * and the affinity mask decide.
 *
 * Source  Linux kernel documentation, "Control Group v2" (`cpu.max`) and "CFS Bandwidth Control" (v1) */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** What the answer depends on; a test brings its own. */
export interface CpuSources {
  /** Logical CPUs in the affinity mask. */
  readonly affinity: () => number;
  /** A file's text, or undefined when it cannot be read. */
  readonly read: (path: string) => string | undefined;
  /** Whether threads can see each other's memory. */
  readonly sharesMemory: () => boolean;
}

const SYSTEM: CpuSources = {
  affinity: availableParallelism,
  read: (path) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  },
  // Missing in a page that is not isolated from other sites, and so in a window of an application made of pages.
  sharesMemory: () => typeof SharedArrayBuffer !== 'undefined',
};

/** Threads worth starting: the affinity mask's size, cut to the control group's quota rounded up. At least 1,
 * unless none could see the model. */
export function availableThreads(sources: CpuSources = SYSTEM): number {
  if (!sources.sharesMemory()) return 0;
  const quota = cgroupQuota(sources);
  const affinity = Math.max(1, sources.affinity());
  return quota === undefined ? affinity : Math.max(1, Math.min(affinity, Math.ceil(quota)));
}

/** CPUs' worth of time per unit of time that the tightest control group on the path allows. Undefined: no limit. */
export function cgroupQuota(sources: CpuSources = SYSTEM): number | undefined {
  const quotas: number[] = [];
  for (const line of (sources.read('/proc/self/cgroup') ?? '').split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    for (const folder of foldersUpTo(path)) {
      const quota =
        controllers === ''
          ? parseCpuMax(sources.read(`/sys/fs/cgroup${folder}/cpu.max`))
          : controllers.split(',').includes('cpu')
            ? parseCfsQuota(sources, `/sys/fs/cgroup/cpu${folder}`)
            : undefined;
      if (quota !== undefined) quotas.push(quota);
    }
  }
  return quotas.length === 0 ? undefined : Math.min(...quotas);
}

/** `/a/b` as `/a/b`, `/a`, ``: a limit anywhere above holds too, and inside a namespace only the root may be visible. */
function foldersUpTo(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  return Array.from({ length: parts.length + 1 }, (_, i) =>
    parts
      .slice(0, parts.length - i)
      .map((p) => `/${p}`)
      .join(''),
  );
}

/** `"150000 100000"` is one and a half CPUs, `"max 100000"` no limit. */
function parseCpuMax(text: string | undefined): number | undefined {
  const [quota, period] = (text ?? '').trim().split(/\s+/).map(Number);
  return ratio(quota, period);
}

function parseCfsQuota(sources: CpuSources, folder: string): number | undefined {
  const quota = sources.read(`${folder}/cpu.cfs_quota_us`);
  const period = sources.read(`${folder}/cpu.cfs_period_us`);
  return quota === undefined || period === undefined ? undefined : ratio(Number(quota), Number(period));
}

/** -1 as a quota is v1's "no limit". */
function ratio(quota: number | undefined, period: number | undefined): number | undefined {
  if (quota === undefined || period === undefined || !(quota > 0) || !(period > 0)) return undefined;
  return quota / period;
}
