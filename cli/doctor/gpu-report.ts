/** What the doctor finds about GPUs before a backend is asked: packages, device files, drivers, the adapter. Where there is
 * no adapter, the first thing on the way to one that is missing. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { FeatureState } from '../../engine/kernels/kernel-backend.ts';
import { findAdapter, summarizeAdapter } from '../../engine/kernels/webgpu/gpu-adapter.ts';
import { type VulkanDriver, type VulkanSources, vulkanDrivers, vulkanLoader } from './vulkan-drivers.ts';

export interface GpuReport {
  /** Installed versions of the optional packages; null: not installed. */
  readonly packages: { readonly webgpu: string | null; readonly 'gpu.js': string | null };
  /** Files that GPUs show as. This and the next two: null where the system is not Linux. */
  readonly devices: readonly string[] | null;
  readonly vulkanLoader: string | null;
  readonly vulkanDrivers: readonly VulkanDriver[] | null;
  /** The adapter that the GPU backends would use. */
  readonly adapter: AdapterReport | null;
  /** Why there is no adapter, and what would help. */
  readonly reason: string | null;
}

export interface AdapterReport {
  readonly name: string;
  readonly isSoftware: boolean;
  readonly features: Readonly<Record<string, FeatureState>>;
  readonly maxBindingBytes: number;
}

/** What kernels can use. */
const FEATURES = ['shader-f16', 'subgroups', 'timestamp-query'] as const;

const SYSTEM: VulkanSources = {
  env: process.env,
  exists: existsSync,
  list: (folder) => (existsSync(folder) ? readdirSync(folder) : []),
  read: (path) => readFileSync(path, 'utf8'),
};

export async function gpuReport(): Promise<GpuReport> {
  const isLinux = process.platform === 'linux';
  const found = await findAdapter();
  const facts: Omit<GpuReport, 'reason'> = {
    packages: { webgpu: versionOf('webgpu'), 'gpu.js': versionOf('gpu.js') },
    devices: isLinux ? gpuDevices(SYSTEM) : null,
    vulkanLoader: isLinux ? vulkanLoader(SYSTEM) : null,
    vulkanDrivers: isLinux ? vulkanDrivers(SYSTEM) : null,
    adapter: typeof found === 'string' ? null : adapterReport(found.adapter),
  };
  return { ...facts, reason: typeof found === 'string' ? whyNoAdapter(facts, found) : null };
}

/** The first of the things between this process and a GPU that is not there.
 * @param found  what the search itself said */
export function whyNoAdapter(facts: Omit<GpuReport, 'reason'>, found: string): string {
  const { packages, devices, vulkanDrivers: drivers } = facts;
  if (packages.webgpu === null || drivers === null) return found;
  if (facts.vulkanLoader === null) return `${found}; there is no libvulkan.so.1: install your system's Vulkan loader`;
  if (drivers.length === 0) {
    const missing = devices?.length
      ? 'the driver of the GPU above is not installed for Vulkan'
      : 'and no GPU is to be seen';
    return `${found}; no Vulkan driver is installed, ${missing}`;
  }
  const torn = drivers.find(({ problem }) => problem !== null);
  if (torn !== undefined) return `${found}; ${torn.file}: ${torn.problem}`;
  return `${found}; the Vulkan drivers above are there, but offer WebGPU no device (an old Mesa is refused)`;
}

function adapterReport(adapter: GPUAdapter): AdapterReport {
  const { name, isSoftware } = summarizeAdapter(adapter);
  const features = FEATURES.map((feature): [string, FeatureState] => [
    feature,
    adapter.features.has(feature) ? { used: true } : { used: false, reason: 'the adapter has none' },
  ]);
  const { maxStorageBufferBindingSize: maxBindingBytes } = adapter.limits;
  return { name, isSoftware, features: Object.fromEntries(features), maxBindingBytes };
}

/** As `/dev` shows them. */
export function gpuDevices({ list, exists }: VulkanSources): readonly string[] {
  const renderers = list('/dev/dri').filter((name) => name.startsWith('renderD'));
  return [...renderers.map((name) => join('/dev/dri', name)), ...['/dev/nvidia0', '/dev/dxg'].filter(exists)];
}

function versionOf(name: string): string | null {
  try {
    return (createRequire(import.meta.url)(`${name}/package.json`) as { readonly version: string }).version;
  } catch {
    return null;
  }
}
