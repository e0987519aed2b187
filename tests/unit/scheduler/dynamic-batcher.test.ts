import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AbortError, EngineClosedError, QueueFullError } from '../../../engine/errors.ts';
import { DynamicBatcher, type DynamicBatcherOptions } from '../../../engine/scheduler/dynamic-batcher.ts';
import { ManualClock } from './manual-clock.ts';

type Options = Partial<DynamicBatcherOptions<number, number>>;

/** A batcher whose batches end when the test says so; each item's result is ten times the item. */
function setUp(options: Options = {}) {
  const clock = new ManualClock();
  const batches: { readonly items: readonly number[]; readonly end: (error?: Error) => Promise<void> }[] = [];
  const run = (items: readonly number[]): Promise<number[]> => {
    const { promise, resolve, reject } = Promise.withResolvers<number[]>();
    const end = async (error?: Error): Promise<void> => {
      if (error === undefined) resolve(items.map((item) => item * 10));
      else reject(error);
      await settle();
    };
    batches.push({ items, end });
    return promise;
  };
  const batcher = new DynamicBatcher<number, number>({ run, clock, maxBatchSize: 3, maxWaitMs: 100, ...options });
  return { clock, batches, batcher };
}

/** Lets everything that is due in promises happen. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('DynamicBatcher', () => {
  it('waits for company, but not longer than maxWaitMs', async () => {
    const { clock, batches, batcher } = setUp();
    const results = [batcher.submit(1)];
    clock.advance(60);
    results.push(batcher.submit(2));
    clock.advance(39);
    expect(batches.length).toBe(0);
    clock.advance(1);
    expect(batches.map(({ items }) => items)).toEqual([[1, 2]]);
    await batches[0]!.end();
    expect(await Promise.all(results)).toEqual([10, 20]);
    expect(clock.numTimers).toBe(0);
  });

  it('goes at once when a batch is full, and collects while one runs', async () => {
    const { clock, batches, batcher } = setUp();
    const results = [1, 2, 3, 4, 5, 6, 7].map((item) => batcher.submit(item));
    expect(batches.map(({ items }) => items)).toEqual([[1, 2, 3]]);
    clock.advance(1000);
    expect(batches.length).toBe(1);
    await batches[0]!.end();
    await batches[1]!.end();
    // The last one has waited long enough while the others ran.
    expect(batches.map(({ items }) => items)).toEqual([[1, 2, 3], [4, 5, 6], [7]]);
    await batches[2]!.end();
    expect(await Promise.all(results)).toEqual([10, 20, 30, 40, 50, 60, 70]);
  });

  it('fails one batch and goes on with the next', async () => {
    const { batches, batcher } = setUp({ maxBatchSize: 1 });
    const first = batcher.submit(1);
    const second = batcher.submit(2);
    const failed = expect(first).rejects.toThrow('crash');
    await batches[0]!.end(new Error('crash'));
    await failed;
    await batches[1]!.end();
    expect(await second).toBe(20);
  });

  it('rejects when run gives a wrong number of results, or throws before it returns', async () => {
    const short = setUp({ maxBatchSize: 1, run: async () => [] });
    await expect(short.batcher.submit(1)).rejects.toThrow(/0 results for 1/);
    const broken = setUp({
      maxBatchSize: 1,
      run: () => {
        throw new Error('at once');
      },
    });
    await expect(broken.batcher.submit(1)).rejects.toThrow('at once');
  });

  it('takes an aborted request out while it waits, and leaves a running batch alone', async () => {
    const { clock, batches, batcher } = setUp();
    const controller = new AbortController();
    const aborted = expect(batcher.submit(1, controller.signal)).rejects.toThrow(AbortError);
    const kept = batcher.submit(2);
    controller.abort('enough');
    await aborted;
    await expect(batcher.submit(3, controller.signal)).rejects.toThrow(AbortError);
    clock.advance(100);
    expect(batches.map(({ items }) => items)).toEqual([[2]]);
    await batches[0]!.end();
    expect(await kept).toBe(20);
    const late = new AbortController();
    const running = [4, 5, 6].map((item) => batcher.submit(item, late.signal));
    late.abort();
    await batches[1]!.end();
    expect(await Promise.all(running)).toEqual([40, 50, 60]);
  });

  it('bounds its queue', async () => {
    const { clock, batches, batcher } = setUp({ maxNumQueuedRequests: 2 });
    const taken = [batcher.submit(1), batcher.submit(2)];
    await expect(batcher.submit(3)).rejects.toThrow(QueueFullError);
    clock.advance(100);
    await batches[0]!.end();
    expect(await Promise.all(taken)).toEqual([10, 20]);
  });

  it('rejects what waits when it is closed, and what comes later', async () => {
    const { clock, batches, batcher } = setUp();
    const running = [1, 2, 3].map((item) => batcher.submit(item));
    const waiting = expect(batcher.submit(4)).rejects.toThrow(EngineClosedError);
    batcher.close();
    await waiting;
    await expect(batcher.submit(5)).rejects.toThrow(EngineClosedError);
    await batches[0]!.end();
    expect(await Promise.all(running)).toEqual([10, 20, 30]);
    expect([clock.numTimers, batches.length]).toEqual([0, 1]);
  });

  it('answers every request once, in full batches in order of arrival, whatever the timing', async () => {
    const step = fc.oneof(fc.constant('submit'), fc.constant('end'), fc.nat(60));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), async (steps) => {
        const { clock, batches, batcher } = setUp();
        const results: Promise<number>[] = [];
        let numEnded = 0;
        for (const what of steps) {
          if (what === 'submit') results.push(batcher.submit(results.length));
          else if (typeof what === 'number') clock.advance(what);
          else if (numEnded < batches.length) await batches[numEnded++]!.end();
          expect(batches.length - numEnded).toBeLessThanOrEqual(1);
          // Nobody waits who could go.
          if (batches.length === numEnded) expect(batcher.numQueued).toBeLessThan(3);
        }
        while (batcher.numQueued > 0 || numEnded < batches.length) {
          clock.advance(100);
          await batches[numEnded++]!.end();
        }
        expect(await Promise.all(results)).toEqual(results.map((_, i) => i * 10));
        expect(batches.flatMap(({ items }) => items)).toEqual(results.map((_, i) => i));
        expect(batches.every(({ items }) => items.length >= 1 && items.length <= 3)).toBe(true);
      }),
    );
  });

  it('refuses options that make no sense', () => {
    expect(() => setUp({ maxBatchSize: 0 })).toThrow(/maxBatchSize/);
    for (const maxWaitMs of [-1, Number.NaN, 2 ** 31]) expect(() => setUp({ maxWaitMs })).toThrow(/maxWaitMs/);
    expect(() => setUp({ maxNumQueuedRequests: 0 })).toThrow(/maxNumQueuedRequests/);
  });
});
