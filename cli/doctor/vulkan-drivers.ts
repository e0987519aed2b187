/** Which Vulkan drivers the loader of a Linux system would try: each is a JSON file that names a library.
 * Source  Khronos, "Vulkan Loader: Driver Interface", sections "Driver Discovery on Linux" and "Driver Manifest File Format" */
import { dirname, isAbsolute, join } from 'node:path';

export interface VulkanDriver {
  readonly file: string;
  /** Why it cannot be used, if that is plain from the files alone. */
  readonly problem: string | null;
}

/** The system, or a test's idea of one. */
export interface VulkanSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly exists: (path: string) => boolean;
  /** Names in a folder; none where there is no folder. */
  readonly list: (folder: string) => readonly string[];
  readonly read: (path: string) => string;
}

/** Drivers that a variable names replace those of the folders. */
const VARIABLES = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'];
const FOLDERS = ['/etc', '/usr/local/etc', '/usr/local/share', '/usr/share'].map((place) => `${place}/vulkan/icd.d`);

const LOADER = 'libvulkan.so.1';
const LIBRARY_FOLDERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib',
];

/** The loader's library, where the dynamic linker looks. */
export function vulkanLoader({ env, exists }: VulkanSources): string | null {
  const folders = [...(env.LD_LIBRARY_PATH ?? '').split(':').filter((path) => path !== ''), ...LIBRARY_FOLDERS];
  return folders.map((folder) => join(folder, LOADER)).find((path) => exists(path)) ?? null;
}

export function vulkanDrivers(sources: VulkanSources): readonly VulkanDriver[] {
  const named = VARIABLES.map((name) => sources.env[name]).find((value) => value !== undefined && value !== '');
  const files = named?.split(':') ?? FOLDERS.flatMap((folder) => filesIn(folder, sources));
  return files.map((file) => ({ file, problem: problemOf(file, sources) }));
}

function filesIn(folder: string, { list }: VulkanSources): readonly string[] {
  return list(folder)
    .filter((name) => name.endsWith('.json'))
    .toSorted()
    .map((name) => join(folder, name));
}

function problemOf(file: string, { exists, read }: VulkanSources): string | null {
  if (!exists(file)) return 'there is no such file';
  let library: unknown;
  try {
    library = JSON.parse(read(file))?.ICD?.library_path;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (typeof library !== 'string') return 'names no library';
  // A bare name is the dynamic linker's business.
  if (!library.includes('/')) return null;
  const path = isAbsolute(library) ? library : join(dirname(file), library);
  return exists(path) ? null : `its library ${path} is missing`;
}
