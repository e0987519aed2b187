/** The machine under a measurement: enough to compare two results, and nothing that names a person or a path. */
import { arch, availableParallelism, cpus, platform, totalmem } from 'node:os';

export interface Host {
  readonly cpu: string;
  /** Logical CPUs that this process may use. */
  readonly numCpus: number;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
}

export function describeHost(): Host {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    numCpus: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()}-${arch()}`,
    node: process.version,
  };
}
