/** The known backends: how to find out whether each runs here, and how to choose one. Knows their names only; a
 * backend that needs an optional package imports it inside `probe` and `create`. */
import { InvalidArgumentError, UnsupportedError } from '../errors.ts';
import type { KernelBackend } from './kernel-backend.ts';
import type { ProbeResult } from './probe-result.ts';
import { ReferenceBackend } from './reference/reference-backend.ts';
import { probeWasm } from './wasm/probe-wasm.ts';
import { WasmBackend } from './wasm/wasm-backend.ts';

/** What a caller may ask of any backend; one that has no such choice ignores it. */
export interface BackendOptions {
  /** 'fast' may use instructions whose last bits differ between CPU families; 'portable' gives the same bits on every
   * machine. Default 'fast'. */
  readonly numerics?: 'fast' | 'portable';
  /** Whether V8 may fuse pairs of 128-bit SIMD instructions into 256-bit ones; 'auto' tests every kernel's result first.
   * Default 'auto'. */
  readonly revectorize?: 'auto' | 'off';
  /** 'f16' lets a GPU multiply in half precision in matmuls of many tokens. Default 'f32'. */
  readonly matmulPrecision?: 'f32' | 'f16';
  /** 'int8' lets a GPU round activations to 8 bits in matmuls of few tokens. Default 'f32'. */
  readonly matvecPrecision?: 'f32' | 'int8';
}

export type { ProbeResult } from './probe-result.ts';

export interface BackendEntry {
  readonly name: string;
  /** Whether the backend can run on this machine. Leaves nothing behind. */
  probe(): Promise<ProbeResult>;
  create(options: BackendOptions): Promise<KernelBackend>;
  /** Whether it computes on a device that can be lost while the process lives. Absent: no. */
  readonly usesDevice?: boolean;
  /** Whether 'auto' should take it before those listed above it. Asked only by 'auto', so a quiet no must be quick.
   * Absent: never. */
  isPreferred?(): Promise<boolean>;
}

/** In the order in which 'auto' tries them, where none says more. To add a backend, add its entry. */
export const BACKENDS: readonly BackendEntry[] = [
  {
    name: 'wasm',
    probe: async () => probeWasm(),
    create: async (options) => new WasmBackend(options),
  },
  {
    name: 'reference',
    probe: async () => ({ available: true }),
    create: async () => new ReferenceBackend(),
  },
  {
    // Software that plays a GPU is slower than wasm, so this comes first only on real hardware.
    name: 'webgpu',
    usesDevice: true,
    probe: async () => (await import('./webgpu/probe-webgpu.ts')).probeWebGpu(),
    create: async ({ matmulPrecision = 'f32', matvecPrecision = 'f32' }) =>
      (await import('./webgpu/webgpu-backend.ts')).createWebGpuBackend({ matmulPrecision, matvecPrecision }),
    isPreferred: async () => (await import('./webgpu/probe-webgpu.ts')).hasHardwareGpu(),
  },
  {
    // Last, so that it must be asked for by name: it is there to be read, and slower than `webgpu`.
    name: 'gpujs',
    usesDevice: true,
    probe: async () => (await import('./gpujs/probe-gpujs.ts')).probeGpujs(),
    create: async () => (await import('./gpujs/gpujs-backend.ts')).createGpujsBackend(),
  },
];

/** Those that compute on the CPU, in the order in which 'auto' tries them. */
export const HOST_BACKENDS: readonly BackendEntry[] = BACKENDS.filter(({ usesDevice = false }) => !usesDevice);

/** What each backend's probe says. A probe that throws is a reason, not a crash. */
export async function probeBackends(
  backends: readonly BackendEntry[] = BACKENDS,
): Promise<readonly ({ readonly name: string } & ProbeResult)[]> {
  return Promise.all(backends.map(async (entry) => ({ name: entry.name, ...(await safeProbe(entry)) })));
}

/** The backends in the order in which 'auto' tries them on this machine. */
export async function orderForAuto(backends: readonly BackendEntry[] = BACKENDS): Promise<readonly BackendEntry[]> {
  const preferences = await Promise.all(backends.map((entry) => entry.isPreferred?.().catch(() => false) ?? false));
  return [...backends.filter((_, i) => preferences[i]), ...backends.filter((_, i) => !preferences[i])];
}

/** Makes the backend of that name, or the first available one for 'auto'. The caller closes it.
 * @throws InvalidArgumentError for an unknown name, UnsupportedError when it (or none) can run here. */
export async function createBackend(
  name: string = 'auto',
  backends: readonly BackendEntry[] = BACKENDS,
  options: BackendOptions = {},
): Promise<KernelBackend> {
  const candidates = name === 'auto' ? await orderForAuto(backends) : backends.filter((entry) => entry.name === name);
  if (candidates.length === 0) {
    const names = ['auto', ...backends.map((entry) => entry.name)].join(', ');
    throw new InvalidArgumentError('backend', `must be one of ${names}; got ${name}`, { name });
  }
  const reasons: string[] = [];
  for (const entry of candidates) {
    const result = await safeProbe(entry);
    if (result.available) return entry.create(options);
    reasons.push(`${entry.name}: ${result.reason}`);
  }
  throw new UnsupportedError(`backend ${name}`, reasons.join('; '), { name });
}

async function safeProbe(entry: BackendEntry): Promise<ProbeResult> {
  try {
    return await entry.probe();
  } catch (error) {
    return { available: false, reason: error instanceof Error ? error.message : String(error) };
  }
}
