/** Waiting for a GPU asks seldom, and leaves the host's functions where they are. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { askPatiently } from '../../../../engine/kernels/webgpu/polling.ts';
import { WaitTimes } from '../../../../engine/kernels/webgpu/wait-time.ts';
import { createWebGpuBackend } from '../../../../engine/kernels/webgpu/webgpu-backend.ts';
import { gpuSkipNote, hasGpu } from '../../../helpers/gpu.ts';

/** Asks in the way that Dawn does, until told to stop. */
class Asker {
  numQuestions = 0;
  isWaiting = true;
  readonly ask = (): void => {
    setImmediate(() => {
      this.numQuestions++;
      if (this.isWaiting) this.ask();
    });
  };
}

describe('askPatiently', () => {
  it('asks seldom, and stops when nothing is waited for', async () => {
    const original = globalThis.setImmediate;
    const [patient, eager] = [new Asker(), new Asker()];
    askPatiently(patient.ask);
    expect(globalThis.setImmediate).toBe(original);
    eager.ask();
    while (eager.numQuestions < 20_000) await turn();
    expect(patient.numQuestions).toBeLessThan(0.5 * eager.numQuestions);
    expect(globalThis.setImmediate).toBe(original);
    const { numQuestions } = patient;
    patient.isWaiting = false;
    while (eager.numQuestions < 40_000) await turn();
    eager.isWaiting = false;
    expect(patient.numQuestions).toBeLessThanOrEqual(numQuestions + 1);
  });

  it('puts the original back when what it runs throws, and gives its result', () => {
    const original = globalThis.setImmediate;
    expect(askPatiently(() => 7)).toBe(7);
    expect(() =>
      askPatiently(() => {
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(globalThis.setImmediate).toBe(original);
  });
});

describe('WaitTime', () => {
  it('lets a step alone for most of the time that the last two of its size took', async () => {
    let nowMs = 0;
    const slept: number[] = [];
    const times = new WaitTimes({
      nowMs: () => nowMs,
      setTimer: (ms, callback) => {
        slept.push(ms);
        nowMs += ms;
        callback();
        return () => {};
      },
    });
    /** @returns how long it is slept through a step */
    const wait = async (tookMs: number, numWorkgroups = 7): Promise<number> => {
      const waitTime = times.of(3, numWorkgroups);
      const submittedMs = nowMs;
      waitTime.submitted();
      await waitTime.sleep();
      // Another result of the same step.
      await waitTime.sleep();
      nowMs = Math.max(nowMs, submittedMs + tookMs);
      waitTime.done();
      waitTime.done();
      return slept.splice(0).reduce((sum, ms) => sum + ms, 0);
    };
    // One is not enough to know.
    expect([await wait(30), await wait(30), await wait(30)]).toEqual([0, 0, 24]);
    // Of another size nothing is known.
    expect(await wait(30, 8)).toBe(0);
    // One that took long for once does not count.
    expect([await wait(300), await wait(30), await wait(30)]).toEqual([24, 24, 24]);
    // Whatever it took before, no sleep is longer than half a second.
    expect([await wait(60_000, 9), await wait(60_000, 9), await wait(30, 9)]).toEqual([0, 0, 500]);
    // Slept too long: the next sleeps are shorter, and soon there are none.
    const sleeps = [];
    for (let i = 0; i < 12; i++) sleeps.push(await wait(1));
    expect(sleeps.slice(0, 3)).toEqual([24, 15, 9]);
    expect(sleeps.at(-1)).toBe(0);
  });
});

describe.skipIf(!hasGpu)(`a read${gpuSkipNote}`, () => {
  it('goes through Dawn with few questions', async () => {
    const backend = await createWebGpuBackend();
    const x = backend.allocate('f32', [4], 'scratch');
    const original = globalThis.setImmediate;
    let numSet = 0;
    globalThis.setImmediate = ((...args: Parameters<typeof setImmediate>) => {
      numSet++;
      return original(...args);
    }) as typeof setImmediate;
    try {
      for (let i = 0; i < 3; i++) {
        backend.upload(x, Float32Array.of(1, 2, 3, i));
        expect([...(await backend.download(x))]).toEqual([1, 2, 3, i]);
      }
      // Dawn asked by the function that stood there for it: were it to hold on to another, none of this would do anything.
      expect(numSet).toBeGreaterThan(0);
    } finally {
      globalThis.setImmediate = original;
    }
    await backend.close();
  });
});
