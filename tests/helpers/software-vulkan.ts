/** GPUs made of software, where `scripts/install-software-vulkan.ts` has put them, and what a process needs in its
 * environment to use one. The variables must be there when it starts: the dynamic linker and the Vulkan loader read them. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

const CACHE = resolve(import.meta.dirname, '../../.cache');

/** lavapipe is Mesa's; SwiftShader is Chromium's, 10 to 80 times slower, without f16. */
export const SOFTWARE_GPUS = ['lavapipe', 'swiftshader'] as const;

export type SoftwareGpu = (typeof SOFTWARE_GPUS)[number];

/** Where libraries are, in the folder of each. */
export const LIBRARY_FOLDERS = ['usr/lib/x86_64-linux-gnu', 'usr/lib/chromium'];

/** Which GPU the tests run on: one of these, or `hardware` for what the machine has. Default lavapipe. */
export const ADAPTER_VARIABLE = 'QUERN_TEST_ADAPTER';

export function isSoftwareGpu(name: string): name is SoftwareGpu {
  return (SOFTWARE_GPUS as readonly string[]).includes(name);
}

/** Names the driver's library to the Vulkan loader; there once the installation is complete. */
export function icdFile(gpu: SoftwareGpu): string {
  return join(CACHE, gpu, 'icd.json');
}

/** What to add to the environment, or `undefined` where that GPU is not installed. */
export function softwareVulkanEnvironment(gpu: SoftwareGpu): Record<string, string> | undefined {
  const icd = icdFile(gpu);
  if (!existsSync(icd)) return undefined;
  const folders = LIBRARY_FOLDERS.map((name) => join(CACHE, gpu, name)).filter((folder) => existsSync(folder));
  const inherited = process.env.LD_LIBRARY_PATH ?? '';
  return { VK_DRIVER_FILES: icd, LD_LIBRARY_PATH: [...folders, inherited].filter((path) => path !== '').join(':') };
}

/** What the processes of a test run need, as `QUERN_TEST_ADAPTER` says; nothing where the choice was made outside, by the
 * loader's own variable, and where nothing is installed.
 * @throws Error for a name that is none */
export function testEnvironment(wanted = process.env[ADAPTER_VARIABLE] ?? 'lavapipe'): Record<string, string> {
  if (wanted === 'hardware' || process.env.VK_DRIVER_FILES !== undefined) return {};
  if (!isSoftwareGpu(wanted)) {
    throw new Error(`${ADAPTER_VARIABLE} must be hardware or one of ${SOFTWARE_GPUS.join(', ')}; got ${wanted}`);
  }
  return softwareVulkanEnvironment(wanted) ?? {};
}
