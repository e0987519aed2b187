/** Runs the property tests many times longer than `npm test` does. Usage: `npm run test:long [-- FACTOR [PATTERN ...]]`;
 * FACTOR multiplies the number of runs of every property (default 20). The last result is noted in `docs/testing.md`. */
import { spawnSync } from 'node:child_process';

const [factor = '20', ...patterns] = process.argv.slice(2);
if (Number(factor) > 0) {
  const { status } = spawnSync(
    'npx',
    ['--no-install', 'vitest', 'run', '--testTimeout', String(3_600_000), ...patterns],
    { stdio: 'inherit', env: { ...process.env, QUERN_RUNS: factor } },
  );
  process.exitCode = status ?? 1;
} else {
  console.error(`FACTOR must be a number above 0, got ${factor}`);
  process.exitCode = 2;
}
