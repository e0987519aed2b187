/** Runs the tests of the GPU backends on a chosen GPU.
 *
 *   npm run test:gpu                                     on lavapipe, as npm test does
 *   npm run test:gpu -- --adapter swiftshader            on SwiftShader: some ten minutes on two cores
 *   npm run test:gpu -- --adapter hardware conformance   on the machine's own; all that follows is Vitest's
 *
 * A software GPU is installed when it is not there. The last results are noted in `docs/testing.md`. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ADAPTER_VARIABLE, isSoftwareGpu, SOFTWARE_GPUS, testEnvironment } from '../tests/helpers/software-vulkan.ts';

/** In the path of every test of a GPU backend. */
const ALL_TESTS = ['gpu', 'engine-device-loss', 'softmax-sums'];

/** Nothing hangs unnoticed, and nothing that is only slow fails: the longest test takes a minute and a half on SwiftShader. */
const TEST_TIMEOUT_MS = 600_000;

function run(command: string, args: readonly string[], env = process.env): number {
  return spawnSync(command, args, { stdio: 'inherit', env }).status ?? 1;
}

/** What follows `--adapter NAME` is Vitest's. */
function main(args: readonly string[]): number {
  const isNamed = args[0] === '--adapter';
  const adapter = (isNamed ? args[1] : undefined) ?? 'lavapipe';
  if (adapter !== 'hardware' && !isSoftwareGpu(adapter)) {
    console.error(`--adapter must be hardware or one of ${SOFTWARE_GPUS.join(', ')}; got ${adapter}`);
    return 1;
  }
  const rest = isNamed ? args.slice(2) : args;
  if (isSoftwareGpu(adapter)) {
    const installer = join(import.meta.dirname, 'install-software-vulkan.ts');
    if (run(process.execPath, [installer, adapter]) !== 0) return 1;
  }
  const env = { ...process.env, [ADAPTER_VARIABLE]: adapter, ...testEnvironment(adapter), QUERN_REQUIRE_GPU: '1' };
  return run(
    'npx',
    [
      '--no-install',
      'vitest',
      'run',
      '--testTimeout',
      String(TEST_TIMEOUT_MS),
      ...(rest.length > 0 ? rest : ALL_TESTS),
    ],
    env,
  );
}

process.exitCode = main(process.argv.slice(2));
