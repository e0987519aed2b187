/** Runs the tests one after another, each with a warm-up that does not count. */
import { SingleBar } from 'cli-progress';
import type { BenchResult } from './bench-result.ts';
import { type BenchTest, testName } from './bench-test.ts';
import { measureTest, prepareTest, type TestBench } from './measure-test.ts';

/** Yields each test's result as soon as it is there.
 * @throws what `measureTest` throws */
export async function* runTests(
  bench: TestBench,
  tests: readonly BenchTest[],
  numRepetitions: number,
): AsyncGenerator<BenchResult> {
  for (const test of tests) {
    const progress = testProgress(testName(test), numRepetitions);
    try {
      await prepareTest(bench, test);
      await measureTest(bench, test, -1);
      const samples: number[] = [];
      for (let repetition = 0; repetition < numRepetitions; repetition++) {
        progress.update(repetition + 1);
        samples.push(await measureTest(bench, test, repetition));
      }
      progress.stop();
      yield { test, samples };
    } finally {
      progress.stop();
    }
  }
}

/** On a terminal, which repetition runs; 0 is the warm-up. */
function testProgress(name: string, total: number): { update(repetition: number): void; stop(): void } {
  if (!process.stderr.isTTY) return { update() {}, stop() {} };
  const format = `${name}: repetition {value} of {total}`;
  const bar = new SingleBar({ format, stream: process.stderr, clearOnComplete: true, hideCursor: true });
  bar.start(total, 0);
  return { update: (repetition) => bar.update(repetition), stop: () => bar.stop() };
}
