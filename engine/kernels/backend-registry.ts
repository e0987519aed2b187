/** The known backends: how to find out whether each runs here, and how to choose one. Knows their names only; a
 * backend that needs an optional package imports it inside `probe` and `create`. */
import { InvalidArgumentError, UnsupportedError } from '../errors.ts';
import type { KernelBackend } from './kernel-backend.ts';
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
}

export type ProbeResult = { readonly available: true } | { readonly available: false; readonly reason: string };

export interface BackendEntry {
  readonly name: string;
  /** Whether the backend can run on this machine. Leaves nothing behind. */
  probe(): Promise<ProbeResult>;
  create(options: BackendOptions): Promise<KernelBackend>;
}

/** In the order in which 'auto' prefers them. To add a backend, add its entry. */
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
];

/** What each backend's probe says. A probe that throws is a reason, not a crash. */
export async function probeBackends(
  backends: readonly BackendEntry[] = BACKENDS,
): Promise<readonly ({ readonly name: string } & ProbeResult)[]> {
  return Promise.all(backends.map(async (entry) => ({ name: entry.name, ...(await safeProbe(entry)) })));
}

/** Makes the backend of that name, or the first available one for 'auto'. The caller closes it.
 * @throws InvalidArgumentError for an unknown name, UnsupportedError when it (or none) can run here. */
export async function createBackend(
  name: string = 'auto',
  backends: readonly BackendEntry[] = BACKENDS,
  options: BackendOptions = {},
): Promise<KernelBackend> {
  const candidates = name === 'auto' ? backends : backends.filter((entry) => entry.name === name);
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
