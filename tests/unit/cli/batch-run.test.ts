import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { BatchLine } from '../../../cli/batch/batch-input.ts';
import { type BatchRunParts, runBatch } from '../../../cli/batch/batch-run.ts';
import { ContextLengthError, EngineClosedError, FileAccessError } from '../../../engine/errors.ts';
import type { GenerationResult } from '../../../engine/requests/generation-stream.ts';

const RESULT: GenerationResult = {
  text: 'x',
  choices: [{ index: 0, text: 'x', tokenIds: [1], finishReason: 'stop' }],
  usage: { numPromptTokens: 1, numCachedTokens: 0, numGeneratedTokens: 1 },
  timings: { timeToFirstTokenMs: 1, totalMs: 2 },
  seed: 7,
};

function line(index: number): BatchLine {
  const place = { index, byteOffset: 0, id: undefined, key: `#${index}`, inputHash: 'h', isDuplicate: false };
  return { ...place, request: { input: { prompt: String(index) }, options: {} } };
}

/** An engine that answers after a while, and counts. */
function setUp(overrides: Partial<BatchRunParts> & { answer?: (prompt: string) => Promise<GenerationResult> } = {}) {
  const seen = {
    taken: 0,
    running: 0,
    mostRunning: 0,
    mostAhead: 0,
    written: [] as number[],
    outcomes: [] as string[],
  };
  const answer = overrides.answer ?? (async (prompt) => delay(Number(prompt) % 3, RESULT));
  const parts: BatchRunParts = {
    engine: {
      chat: () => {
        throw new Error('no messages here');
      },
      generate: (prompt) => {
        seen.mostRunning = Math.max(seen.mostRunning, ++seen.running);
        const result = answer(prompt as string).finally(() => seen.running--);
        return { result } as ReturnType<BatchRunParts['engine']['generate']>;
      },
    },
    results: {
      append: async ({ index }) => {
        await delay(1);
        seen.written.push(index as number);
      },
    },
    lines: async function* () {
      for (let index = 0; index < 50; index++) {
        seen.taken++;
        seen.mostAhead = Math.max(seen.mostAhead, seen.taken - seen.written.length);
        yield line(index);
      }
    },
    optionsOf: () => ({}),
    record: { includePrompt: false, includeTokens: false },
    maxInFlight: 4,
    isStrict: false,
    signal: new AbortController().signal,
    onLine: (outcome) => seen.outcomes.push(outcome),
    ...overrides,
  };
  return { parts, seen };
}

/** A pipe whose writer gives some lines and then nothing more, without closing it. */
async function* neverEnding(count: number, signal: AbortSignal): AsyncGenerator<BatchLine, void> {
  for (let index = 0; index < count; index++) yield line(index);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
}

it('keeps so many requests with the engine, and reads no further ahead', async () => {
  const { parts, seen } = setUp();
  await runBatch(parts);
  expect(seen.mostRunning).toBe(4);
  // Reading waits for writing too: a slow disk must not fill the memory.
  expect(seen.mostAhead).toBeLessThanOrEqual(4);
  expect(seen.written.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
});

it('a request that fails costs its own line only; a closed engine ends all', async () => {
  const failing = setUp({
    answer: async (prompt) => {
      if (prompt === '7') throw new ContextLengthError(9, 8, 'shorten');
      return RESULT;
    },
  });
  await runBatch(failing.parts);
  expect(failing.seen.written).toHaveLength(50);
  expect(failing.seen.outcomes.filter((outcome) => outcome === 'failed')).toHaveLength(1);
  const closed = setUp({ answer: async () => Promise.reject(new EngineClosedError()) });
  await expect(runBatch(closed.parts)).rejects.toThrow(EngineClosedError);
  expect(closed.seen.written).toEqual([]);
});

it('ends when the output cannot be written, even while the input waits for more', async () => {
  const { parts } = setUp({
    lines: (signal) => neverEnding(2, signal),
    results: { append: async () => Promise.reject(new FileAccessError('out', 'no space')) },
  });
  await expect(runBatch(parts)).rejects.toThrow(/no space/);
});

it('with strict, finishes what is running and throws the first failure', async () => {
  const { parts, seen } = setUp({
    isStrict: true,
    lines: (signal) => neverEnding(3, signal),
    answer: async (prompt) => {
      if (prompt === '0') throw new ContextLengthError(9, 8, 'shorten');
      return delay(5, RESULT);
    },
  });
  await expect(runBatch(parts)).rejects.toThrow(ContextLengthError);
  expect(seen.written.toSorted((a, b) => a - b)).toEqual([1, 2]);
});

it('an abort ends it without a record for what was running', async () => {
  const controller = new AbortController();
  const { parts, seen } = setUp({
    signal: controller.signal,
    lines: (signal) => neverEnding(3, signal),
    answer: (prompt) =>
      prompt === '1'
        ? Promise.resolve(RESULT)
        : new Promise((_, reject) => controller.signal.addEventListener('abort', () => reject(new Error('aborted')))),
  });
  const run = runBatch(parts);
  await delay(10);
  controller.abort();
  await run;
  expect(seen.written).toEqual([1]);
});
