/** Installs a GPU made of software, so that the GPU tests run on a machine without one.
 *
 *   node scripts/install-software-vulkan.ts               Mesa's lavapipe, in .cache/lavapipe
 *   node scripts/install-software-vulkan.ts swiftshader   SwiftShader as Chromium has it, in .cache/swiftshader
 *
 * `tests/helpers/software-vulkan.ts` finds them there. */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  icdFile,
  isSoftwareGpu,
  LIBRARY_FOLDERS,
  SOFTWARE_GPUS,
  type SoftwareGpu,
} from '../tests/helpers/software-vulkan.ts';
import { CACHE, DebianPackages, RELEASE } from './debian/debian-packages.ts';

interface Recipe {
  readonly packages: readonly string[];
  /** Of what was fetched, only the package of this name is unpacked; all where absent. */
  readonly only?: string;
  readonly driver: string;
  readonly apiVersion: string;
}

const BACKPORTED = ['libdrm2', 'libdrm-amdgpu1', 'libdrm-common'].map((name) => `${name}/${RELEASE}-backports`);

const RECIPES: Readonly<Record<SoftwareGpu, Recipe>> = {
  lavapipe: {
    // Dawn refuses the Mesa of Debian 12 itself, hence the backport. apt adds what else the machine lacks.
    packages: ['mesa-vulkan-drivers=25.0.7-2~bpo12+1', `libvulkan1/${RELEASE}`, ...BACKPORTED],
    driver: 'libvulkan_lvp.so',
    apiVersion: '1.4.305',
  },
  swiftshader: {
    packages: ['chromium-common'],
    only: 'chromium-common',
    driver: 'libvk_swiftshader.so',
    apiVersion: '1.1.0',
  },
};

function install(gpu: SoftwareGpu): void {
  const folder = join(CACHE, gpu);
  if (existsSync(icdFile(gpu))) {
    console.error(`${gpu} is installed already, in ${folder}`);
    return;
  }
  rmSync(folder, { recursive: true, force: true });
  const { packages, only, driver, apiVersion } = RECIPES[gpu];
  const debian = new DebianPackages();
  const archives = debian.download(packages);
  debian.unpack(
    only === undefined ? archives : archives.filter((archive) => basename(archive).startsWith(`${only}_`)),
    folder,
  );
  const folders = LIBRARY_FOLDERS.map((name) => join(folder, name));
  const library = folders.map((place) => join(place, driver)).find((path) => existsSync(path));
  if (library === undefined) throw new Error(`the packages ${packages.join(' ')} have no ${driver}`);
  const missing = missingLibraries(library, folders);
  if (missing.length > 0) throw new Error(`${driver} needs libraries that are not here: ${missing.join(', ')}`);
  // Last, as it says that everything before went well.
  const icd = { file_format_version: '1.0.0', ICD: { library_path: library, api_version: apiVersion } };
  writeFileSync(icdFile(gpu), JSON.stringify(icd));
  console.error(`installed ${gpu} in ${folder}, from ${archives.map((archive) => basename(archive)).join(' ')}`);
  debian.forgetArchives();
}

function missingLibraries(library: string, folders: readonly string[]): string[] {
  const env = { ...process.env, LD_LIBRARY_PATH: folders.join(':') };
  const report = execFileSync('ldd', [library], { encoding: 'utf8', env });
  return [...report.matchAll(/^\s*(\S+) => not found/gm)].map((match) => match[1]!);
}

const [wanted = 'lavapipe'] = process.argv.slice(2);
try {
  if (!isSoftwareGpu(wanted)) throw new Error(`must be one of ${SOFTWARE_GPUS.join(', ')}; got ${wanted}`);
  install(wanted);
} catch (error) {
  console.error(`software Vulkan: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
