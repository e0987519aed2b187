/** What the doctor finds before anything of Quern runs: the Node, the CPUs and the memory that this process really gets. */
import { availableParallelism, cpus, totalmem } from 'node:os';
import type { FeatureState } from '../../engine/kernels/kernel-backend.ts';
import { availableThreads, cgroupQuota } from '../../engine/util/cpu-quota.ts';
import { packageVersion } from '../package-version.ts';

export interface MachineReport {
  readonly quern: string;
  readonly node: string;
  readonly v8: string;
  readonly platform: string;
  readonly cpus: {
    readonly model: string;
    /** Logical CPUs of the host, those that the affinity mask allows, and the control group's quota in CPUs. */
    readonly onHost: number;
    readonly inAffinityMask: number;
    readonly quota: number | null;
    /** Worker threads that an engine starts by default. */
    readonly threads: number;
  };
  readonly memory: {
    readonly totalBytes: number;
    /** What the system could still give, control group included. */
    readonly availableBytes: number;
    /** Of the control group; null: none. */
    readonly limitBytes: number | null;
  };
  /** What the runtime offers. */
  readonly runtime: Readonly<Record<string, FeatureState>>;
}

export function machineReport(): MachineReport {
  return {
    quern: packageVersion(),
    node: process.version,
    v8: process.versions.v8,
    platform: `${process.platform}-${process.arch}`,
    cpus: {
      model: cpus()[0]?.model.trim() ?? 'unknown',
      onHost: cpus().length,
      inAffinityMask: availableParallelism(),
      quota: cgroupQuota() ?? null,
      threads: availableThreads(),
    },
    memory: memoryReport(),
    runtime: runtimeReport(globalThis),
  };
}

function memoryReport(): MachineReport['memory'] {
  const totalBytes = totalmem();
  const limit = process.constrainedMemory();
  return {
    totalBytes,
    availableBytes: process.availableMemory(),
    // Node says 0 where it does not know, and a huge number where there is no limit.
    limitBytes: limit > 0 && limit < totalBytes ? limit : null,
  };
}

/** @param scope  the global object; a test brings its own */
export function runtimeReport(scope: Readonly<Record<string, unknown>>): MachineReport['runtime'] {
  const offers = (name: string, otherwise: string): FeatureState =>
    scope[name] === undefined ? { used: false, reason: `this Node has no ${name}: ${otherwise}` } : { used: true };
  return {
    sharedMemory: offers('SharedArrayBuffer', 'worker threads cannot share a model'),
    webAssembly: offers('WebAssembly', 'kernels run as plain JavaScript, many times slower'),
    nativeFloat16: offers('Float16Array', '16-bit floats are rounded in JavaScript, as exact but slower'),
  };
}
