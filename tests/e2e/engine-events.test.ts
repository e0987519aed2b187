/** What the engine tells while it loads and runs, what the prefix cache saves, and that nobody who listens can break it. */
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Engine } from '../../engine/engine.ts';
import type { EngineOptions } from '../../engine/engine-options.ts';
import { AbortError, InvalidArgumentError } from '../../engine/errors.ts';
import { ReferenceBackend } from '../../engine/kernels/reference/reference-backend.ts';
import type { GenerateOptions } from '../../engine/requests/generate-options.ts';
import { WorkerPoolExecutor } from '../../engine/runner/worker-pool-executor.ts';
import { EngineHarness } from '../helpers/engine-harness.ts';
import { rejection } from '../helpers/rejection.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { TINY, writeTinyModel } from '../helpers/tiny-models.ts';

const folder = useTemporaryFolder();
const path = (): string => folder.at('tiny.gguf');
const OPTIONS: GenerateOptions = { max_tokens: 100, temperature: 0, ignore_eos: true };

beforeAll(() => writeTinyModel(path(), TINY));
afterEach(() => void vi.restoreAllMocks());

describe('events', () => {
  it('are few, however long the text: cheap enough to leave on', async () => {
    const harness = await EngineHarness.load(path(), { maxModelLen: 256, numThreads: 1 });
    await harness.engine.generate([1, 2, 3], OPTIONS).result;
    expect(harness.events.map(({ event }) => event)).toEqual([
      'queued',
      'started',
      'prefilled',
      'firstToken',
      'finished',
    ]);
    expect(await harness.close()).toBeUndefined();
  });

  it('whose listener throws change nothing, and say so once', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const quiet = await EngineHarness.load(path(), { maxModelLen: 256 });
    const loud = await EngineHarness.load(path(), {
      maxModelLen: 256,
      numThreads: 1,
      maxWaitMs: 0,
      onSequenceEvent: (event) => {
        throw new Error(`cannot bear ${event}`);
      },
    });
    for (const n of [1, 3]) {
      const [expected, actual] = await Promise.all(
        [quiet, loud].map(({ engine }) => engine.generate([1, 2, 3], { ...OPTIONS, n }).result),
      );
      expect(actual!.choices).toEqual(expected!.choices);
    }
    const aborted = loud.engine.generate([1], OPTIONS);
    aborted.cancel();
    expect(await rejection(aborted.result)).toBeInstanceOf(AbortError);
    expect((await loud.engine.score([1, 2])).logprobs).toHaveLength(1);
    expect(await loud.close()).toBeUndefined();
    await quiet.close();
    await new Promise(setImmediate);
    process.off('warning', onWarning);
    expect(warnings.filter(({ name }) => name === 'QuernWarning').map(({ message }) => message)).toEqual([
      expect.stringContaining('cannot bear queued'),
    ]);
  });

  it('may start, abort and close from within', async () => {
    let extra: Promise<unknown> | undefined;
    const harness: EngineHarness = await EngineHarness.load(path(), {
      maxModelLen: 256,
      maxNumSeqs: 1,
      onSequenceEvent: (event) => {
        if (event === 'prefilled' && extra === undefined) extra = harness.engine.generate([5, 6], OPTIONS).result;
      },
    });
    const { text } = await harness.engine.generate([5, 6], OPTIONS).result;
    expect(await extra).toMatchObject({ text });
    expect(await harness.close()).toBeUndefined();
  });

  // Nothing of the step is left then, and nobody but the abort itself can wake the engine for those who wait.
  it('that abort all of a step before it runs do not leave the others waiting', async () => {
    const controller = new AbortController();
    const harness = await EngineHarness.load(path(), {
      maxModelLen: 256,
      maxNumSeqs: 1,
      onSequenceEvent: (event) => {
        if (event === 'started') controller.abort();
      },
    });
    const first = harness.engine.generate([1], { ...OPTIONS, signal: controller.signal });
    const second = harness.engine.generate([2], OPTIONS);
    expect(await rejection(first.result)).toBeInstanceOf(AbortError);
    expect((await second.result).usage.numGeneratedTokens).toBe(100);
    expect(await harness.close()).toBeUndefined();
  });
});

describe('loading', () => {
  /** How often memory and threads were given back by loads that failed. */
  async function expectReleased(options: EngineOptions): Promise<unknown> {
    const closeBackend = vi.spyOn(ReferenceBackend.prototype, 'close');
    const closeExecutor = vi.spyOn(WorkerPoolExecutor.prototype, 'close');
    const startExecutor = vi.spyOn(WorkerPoolExecutor.prototype, 'start');
    const error = await rejection(Engine.load(path(), { backend: 'reference', numThreads: 1, ...options }));
    expect(closeBackend).toHaveBeenCalledTimes(1);
    expect((closeBackend.mock.contexts[0] as ReferenceBackend).memoryUsage()).toEqual({
      weights: 0,
      kv: 0,
      scratch: 0,
    });
    expect(closeExecutor).toHaveBeenCalledTimes(startExecutor.mock.calls.length);
    return error;
  }

  it('tells how far it is, up to the end', async () => {
    const told: number[] = [];
    let total = 0;
    const engine = await Engine.load(path(), {
      numThreads: 0,
      onProgress: ({ loadedBytes, totalBytes }) => {
        told.push(loadedBytes);
        total = totalBytes;
      },
    });
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    expect(told.at(-1)).toBe(total);
    await engine.close();
  });

  it('fails with what onProgress throws, and leaves nothing behind', async () => {
    const mine = new Error('no room for a progress bar');
    const error = await expectReleased({
      onProgress: () => {
        throw mine;
      },
    });
    expect(error).toBe(mine);
  });

  it('is given up by a signal in the middle', async () => {
    const controller = new AbortController();
    const reason = new Error('changed my mind');
    let numRanges = 0;
    const error = await expectReleased({
      signal: controller.signal,
      onProgress: () => {
        if (++numRanges === 3) controller.abort(reason);
      },
    });
    expect(error).toBeInstanceOf(AbortError);
    expect(error).toMatchObject({ cause: reason });
    expect(numRanges).toBe(3);
  });

  it.each<EngineOptions>([{ kvCacheBytes: 1 }, { maxModelLen: 100_000 }])(
    'is refused for %j, which is too much or too little for this model, before any weight is read',
    async (options) => {
      const onProgress = vi.fn();
      expect(await expectReleased({ ...options, onProgress })).toBeInstanceOf(InvalidArgumentError);
      expect(onProgress).not.toHaveBeenCalled();
    },
  );

  it.each<EngineOptions>([
    { maxNumQueuedRequests: 0 },
    { maxBatchSize: 0 },
    { maxWaitMs: -1 },
    { schedulingPolicy: 'priority', priorityAgeingMs: 0 },
  ])('is refused for %j before the file is touched', async (options) => {
    expect(await rejection(Engine.load(folder.at('nowhere.gguf'), options))).toBeInstanceOf(InvalidArgumentError);
  });

  it('is refused for a path that is none, and given up at once by a signal that has fired', async () => {
    expect(await rejection(Engine.load(undefined as unknown as string))).toBeInstanceOf(InvalidArgumentError);
    const signal = AbortSignal.abort('no');
    expect(await rejection(Engine.load(folder.at('nowhere.gguf'), { signal }))).toBeInstanceOf(AbortError);
  });
});

describe('a prompt whose first 400 tokens were computed before', () => {
  const PREFIX = Array.from({ length: 400 }, (_, i) => (i * 7) % 250);

  it('computes its tail only', async () => {
    const harness = await EngineHarness.load(path(), { maxModelLen: 512, blockSize: 16 });
    /** Sends a prompt; gives what it took. */
    const send = async (tail: number[], options: GenerateOptions = {}) => {
      const numSteps = harness.stepSizes.length;
      const result = await harness.engine.generate([...PREFIX, ...tail], { ...OPTIONS, max_tokens: 4, ...options })
        .result;
      const { numPromptTokens, numCachedTokens } = result.usage;
      const numScheduledTokens = harness.stepSizes.slice(numSteps).reduce((sum, size) => sum + size, 0);
      return { text: result.text, numPromptTokens, numCachedTokens, numScheduledTokens };
    };
    // Three of the four tokens that are generated are computed in turn; the last one never is.
    const first = await send([1, 2, 3, 4, 5]);
    expect(first).toMatchObject({ numPromptTokens: 405, numCachedTokens: 0, numScheduledTokens: 405 + 3 });
    expect(await send([6, 7])).toMatchObject({ numPromptTokens: 402, numCachedTokens: 400, numScheduledTokens: 2 + 3 });
    // The same again: of the block that is not full nothing is kept.
    expect(await send([1, 2, 3, 4, 5])).toEqual({ ...first, numCachedTokens: 400, numScheduledTokens: 5 + 3 });
    // Exactly the prefix: one row must be computed, and with it its block.
    expect(await send([])).toMatchObject({ numCachedTokens: 384, numScheduledTokens: 16 + 3 });
    // Choices share all of the prompt but its last token.
    expect(await send([6, 7], { n: 3 })).toMatchObject({ numCachedTokens: 400, numScheduledTokens: 2 + 2 * 1 + 3 * 3 });
    // Tenants do not see each other.
    expect(await send([6, 7], { cacheSalt: 'another' })).toMatchObject({
      numCachedTokens: 0,
      numScheduledTokens: 402 + 3,
    });
    const { numCachedTokens, kvCache } = harness.engine.stats();
    expect(numCachedTokens).toBe(400 + 400 + 384 + 400 + 2 * 401);
    expect(kvCache.hitRate).toBeGreaterThan(0.5);
    expect(await harness.close()).toBeUndefined();
  });
});
