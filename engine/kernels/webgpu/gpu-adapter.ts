/** Finds a GPU: Dawn as the optional package `webgpu`, the adapter it offers, and what that adapter is. A failed search is
 * a sentence, never a crash (law 8). Makes no device. */
import { existsSync, readdirSync } from 'node:fs';

/** Flags for Dawn, one per word, as its `create` takes them; for those who debug drivers. */
const DAWN_FLAGS_VARIABLE = 'QUERN_DAWN_FLAGS';

export interface FoundAdapter {
  /** Must stay reachable as long as anything made from it is used. */
  readonly gpu: GPU;
  readonly adapter: GPUAdapter;
}

/** What a matrix unit multiplies and gives, as `adapter.info.subgroupMatrixConfigs` lists it. */
export interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

export interface AdapterSummary {
  readonly name: string;
  /** A rasterizer on the CPU rather than a GPU. */
  readonly isSoftware: boolean;
  /** Threads of the smallest subgroup that the driver may choose; 0 where it does not say. */
  readonly minSubgroupSize: number;
  readonly maxSubgroupSize: number;
  /** Of the device's matrix units; empty where it has none, or they were not asked for. */
  readonly matrixConfigs: readonly MatrixConfig[];
  /** Names the hardware and its driver as exactly as WebGPU tells. */
  readonly fingerprint: string;
}

/** Dawn's entry objects by their flags. The one state of this module, and on purpose: an entry object must outlive everything
 * that was made from it, and the process's own does. */
const entries = new Map<string, GPU>();

/** What Dawn offers only to those who ask: subgroup matrices are not in the WebGPU standard yet. */
const UNSAFE_FLAG = 'enable-dawn-features=allow_unsafe_apis';

/** @param wantsMatrices  also look for matrix units
 * @returns the most powerful adapter, or why there is none */
export async function findAdapter({ wantsMatrices = false } = {}): Promise<FoundAdapter | string> {
  let dawn: typeof import('webgpu');
  try {
    dawn = await import('webgpu');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return /Cannot find (package|module)/.test(reason)
      ? "the optional package 'webgpu' is not installed (npm install webgpu)"
      : `the package 'webgpu' does not load here: ${reason}`;
  }
  const flags = (process.env[DAWN_FLAGS_VARIABLE] ?? '').split(' ').filter((flag) => flag !== '');
  if (wantsMatrices) flags.push(UNSAFE_FLAG);
  const key = flags.join(' ');
  const gpu = entries.get(key) ?? dawn.create(flags);
  entries.set(key, gpu);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  return adapter === null ? 'no GPU adapter: Vulkan, Metal or Direct3D 12 found no device' : { gpu, adapter };
}

export function summarizeAdapter({ info }: GPUAdapter): AdapterSummary {
  const { vendor, architecture, device, description } = info;
  return {
    name: device || description || `${vendor} ${architecture}`.trim() || 'unknown',
    isSoftware: info.isFallbackAdapter,
    minSubgroupSize: info.subgroupMinSize ?? 0,
    maxSubgroupSize: info.subgroupMaxSize ?? 0,
    matrixConfigs: [...((info as { subgroupMatrixConfigs?: Iterable<MatrixConfig> }).subgroupMatrixConfigs ?? [])],
    fingerprint: [vendor, architecture, device, description].join('/'),
  };
}

/** Why looking for a GPU is not worth loading a driver for, or `undefined`. On Linux a GPU shows as a device file; where
 * there is none, Dawn would only find software, and print warnings about it. */
export function whyNoHardware(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  if (existsSync('/dev/nvidia0') || existsSync('/dev/dxg')) return undefined;
  const hasRenderNode = existsSync('/dev/dri') && readdirSync('/dev/dri').some((name) => name.startsWith('renderD'));
  return hasRenderNode ? undefined : 'no GPU: neither /dev/dri/renderD*, /dev/nvidia0 nor /dev/dxg exists';
}
