import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

// A GPU made of software, where scripts/install-software-vulkan.ts has put one. The variables must be there when the
// processes that run the tests start: the dynamic linker and the Vulkan loader read them.
const vulkan = resolve(import.meta.dirname, '.cache/vulkan');
if (existsSync(`${vulkan}/icd.json`) && process.env.VK_DRIVER_FILES === undefined) {
  const libraries = `${vulkan}/root/usr/lib/x86_64-linux-gnu`;
  process.env.VK_DRIVER_FILES = `${vulkan}/icd.json`;
  process.env.LD_LIBRARY_PATH = [libraries, process.env.LD_LIBRARY_PATH ?? ''].filter((path) => path !== '').join(':');
}

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    setupFiles: ['tests/helpers/setup.ts'],
    testTimeout: 60_000,
  },
});
