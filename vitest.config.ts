import { defineConfig } from 'vitest/config';
import { testEnvironment } from './tests/helpers/software-vulkan.ts';

// A GPU made of software, where one is installed, for all processes that run tests.
Object.assign(process.env, testEnvironment());

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    setupFiles: ['tests/helpers/setup.ts'],
    testTimeout: 60_000,
  },
});
