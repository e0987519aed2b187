/** The barrier is all that keeps threads from reading what others have not written yet. */
import { Worker } from 'node:worker_threads';
import { afterEach, expect, it, vi } from 'vitest';
import { Barrier } from '../../../engine/runner/barrier.ts';

afterEach(() => vi.restoreAllMocks());

const BARRIER_URL = new URL('../../../engine/runner/barrier.ts', import.meta.url).href;

/** Each thread adds its rounds to its own cell and checks after every meeting that nobody is a round behind or ahead. */
const PROGRAM = `
  const { workerData, parentPort } = require('node:worker_threads');
  import(workerData.url).then(({ Barrier }) => {
    const { index, numThreads, numRounds, buffer, cells } = workerData;
    const barrier = new Barrier(numThreads, buffer);
    const rounds = new Int32Array(cells);
    let problem = '';
    try {
      for (let round = 1; round <= numRounds && problem === ''; round++) {
        rounds[index] = round;
        barrier.wait();
        for (let i = 0; i < numThreads; i++) if (rounds[i] !== round) problem = 'round ' + round + ' saw ' + rounds[i];
        barrier.wait();
      }
    } catch (error) {
      problem = error.name;
    }
    parentPort.postMessage(problem);
  });`;

async function runThreads(
  numThreads: number,
  numRounds: number,
  barrier: Barrier,
  numStarted = numThreads,
): Promise<string[]> {
  const cells = new SharedArrayBuffer(numThreads * 4);
  const outcomes = Array.from({ length: numStarted }, (_, index) => {
    const workerData = { url: BARRIER_URL, index, numThreads, numRounds, buffer: barrier.buffer, cells };
    const worker = new Worker(PROGRAM, { eval: true, workerData });
    return new Promise<string>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  });
  return Promise.all(outcomes);
}

it.each([1, 2, 3, 5])('%i threads stay in step for 2,000 rounds', async (numThreads) => {
  expect(await runThreads(numThreads, 2000, new Barrier(numThreads))).toEqual(Array(numThreads).fill(''));
});

it('poison frees threads that wait, and those that come later', async () => {
  const barrier = new Barrier(3);
  setTimeout(() => barrier.poison(), 150);
  expect(await runThreads(3, 10, barrier, 2)).toEqual(['BarrierPoisonedError', 'BarrierPoisonedError']);
  expect(() => new Barrier(3, barrier.buffer).wait()).toThrow('another thread of the step failed');
});

it('works again after a reset', async () => {
  const barrier = new Barrier(2);
  barrier.poison();
  barrier.reset();
  expect(await runThreads(2, 100, barrier)).toEqual(['', '']);
});

it('whoever was reset in its sleep, as all had met, is woken the next time', () => {
  const barrier = new Barrier(2);
  const other = new Barrier(2, barrier.buffer);
  const sleeps = vi.spyOn(Atomics, 'wait').mockReturnValue('ok');
  const wakes = vi.spyOn(Atomics, 'notify');
  for (let meeting = 1; meeting <= 2; meeting++) {
    sleeps.mockImplementationOnce(() => {
      other.wait();
      barrier.reset();
      return 'ok';
    });
    barrier.wait();
    expect(wakes).toHaveBeenCalledTimes(meeting);
  }
});
