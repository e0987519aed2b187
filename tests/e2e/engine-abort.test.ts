/** Giving up: by signal, by deadline, by closing, at every moment there is. The request gets the promised error, its
 * blocks come back, and the others get what they would have got. */
import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AbortError, EngineClosedError, RequestTimeoutError } from '../../engine/errors.ts';
import type { GenerateOptions } from '../../engine/requests/generate-options.ts';
import type { SequenceEvent } from '../../engine/scheduler/sequence-events.ts';
import { systemClock } from '../../engine/util/clock.ts';
import { EngineHarness, type HarnessOptions, holdNextStep } from '../helpers/engine-harness.ts';
import { rejection } from '../helpers/rejection.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { TINY, writeTinyModel } from '../helpers/tiny-models.ts';
import { ManualClock } from '../unit/scheduler/manual-clock.ts';

const folder = useTemporaryFolder();
/** So little room that requests wait for each other and displace each other. */
const CROWDED: HarnessOptions = {
  maxModelLen: 32,
  blockSize: 4,
  numBlocks: 10,
  maxNumSeqs: 3,
  maxNumBatchedTokens: 8,
  maxPrefillChunk: 5,
  maxWaitMs: 0,
};
const REQUESTS: readonly { readonly prompt: number[]; readonly options: GenerateOptions }[] = [
  { prompt: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], options: { max_tokens: 14, temperature: 0, ignore_eos: true } },
  { prompt: [1, 2, 3, 4, 5, 6, 7], options: { max_tokens: 12, n: 2, seed: 1, ignore_eos: true } },
  { prompt: [20, 21, 22], options: { max_tokens: 18, temperature: 0.7, seed: 2, ignore_eos: true } },
];
/** The texts of `REQUESTS`, each alone. */
const alone: string[][] = [];
const path = (): string => folder.at('tiny.gguf');

beforeAll(async () => {
  await writeTinyModel(path(), { ...TINY, contextLength: 64 });
  const harness = await EngineHarness.load(path(), { maxModelLen: 32, maxNumSeqs: 1 });
  for (const { prompt, options } of REQUESTS) {
    alone.push((await harness.engine.generate(prompt, options).result).choices.map(({ text }) => text));
  }
  await harness.close();
});

/** Sends `REQUESTS`; gives their texts, or the error of those that failed. */
async function sendAll(harness: EngineHarness, signals: readonly (AbortSignal | undefined)[] = []) {
  const streams = REQUESTS.map(({ prompt, options }, i) => {
    const signal = signals[i];
    return harness.engine.generate(prompt, signal === undefined ? options : { ...options, signal });
  });
  const settled = await Promise.allSettled(streams.map(({ result }) => result));
  return settled.map((outcome) =>
    outcome.status === 'fulfilled' ? outcome.value.choices.map(({ text }) => text) : (outcome.reason as Error),
  );
}

describe('an AbortSignal', () => {
  let harness: EngineHarness;
  const reason = new Error('changed my mind');
  const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

  beforeAll(async () => {
    harness = await EngineHarness.load(path(), { ...CROWDED, maxNumSeqs: 1, numThreads: 2 });
  });
  afterAll(async () => expect(await harness.close()).toBeUndefined());

  async function expectAborted(promise: Promise<unknown>, controller: AbortController): Promise<void> {
    const error = await rejection(promise);
    expect(error).toBeInstanceOf(AbortError);
    expect(error).toMatchObject({ name: 'AbortError', code: 'ABORTED', cause: reason });
    expect(listeners(controller.signal)).toBe(0);
    await harness.engine.generate([9], { max_tokens: 1 }).result;
    expect(harness.findLeak()).toBeUndefined();
  }

  it('that fired before ends the request before it begins', async () => {
    const controller = new AbortController();
    controller.abort(reason);
    const { stream, sequences } = harness.generate([1], { signal: controller.signal });
    expect(sequences).toHaveLength(0);
    await expectAborted(stream.result, controller);
    await expectAborted(harness.engine.score([1, 2], { signal: controller.signal }), controller);
    await expectAborted(harness.engine.embed([1, 2], { signal: controller.signal }), controller);
  });

  it.each<[string, SequenceEvent | undefined]>([
    ['in the queue', undefined],
    ['while it is queued', 'queued'],
    ['when it starts', 'started'],
    ['when its prompt is read', 'prefilled'],
    ['at its first token', 'firstToken'],
  ])('ends it %s', async (_, at) => {
    const controller = new AbortController();
    const abort = (): void => controller.abort(reason);
    const own = await EngineHarness.load(path(), {
      ...CROWDED,
      maxNumSeqs: 1,
      onSequenceEvent: (event, { numPromptTokens }) => {
        if (event === at && numPromptTokens === 9) abort();
      },
    });
    const first = own.engine.generate(REQUESTS[0]!.prompt, REQUESTS[0]!.options);
    const prompt = [...REQUESTS[0]!.prompt.slice(0, 8), 30];
    const stream = own.engine.generate(prompt, { max_tokens: 9, signal: controller.signal, ignore_eos: true });
    if (at === undefined) abort();
    await expectAborted(stream.result, controller);
    // In the list of events the aborted one is the second, whatever became of it.
    const ended = own.events.find(({ event, sequence }) => event === 'aborted' && sequence.numPromptTokens === 9);
    expect(ended).toBeDefined();
    expect((await first.result).choices.map(({ text }) => text)).toEqual(alone[0]);
    expect(await own.close()).toBeUndefined();
  });

  it('ends it in the middle of a step', async () => {
    const controller = new AbortController();
    const held = holdNextStep(harness);
    const stream = harness.engine.generate([1, 2, 3, 4], { signal: controller.signal });
    await held.reached;
    controller.abort(reason);
    // The answer comes before the step is over.
    expect(await rejection(stream.result)).toBeInstanceOf(AbortError);
    held.release();
    await expectAborted(stream.result, controller);
  });

  it('ends a scoring request at once, though others of its batch go on', async () => {
    const controller = new AbortController();
    const held = holdNextStep(harness);
    const first = harness.engine.score([1, 2, 3]);
    await held.reached;
    const [second, third] = [
      [4, 5, 6],
      [7, 8, 9],
    ].map((ids, i) => harness.engine.score(ids, i === 0 ? { signal: controller.signal } : {}));
    controller.abort(reason);
    expect(await rejection(second!)).toBeInstanceOf(AbortError);
    held.release();
    await Promise.all([first, third]);
    await expectAborted(second!, controller);
  });

  it('that fires after the end changes nothing', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const stream = harness.engine.generate([1, 2], { max_tokens: 3, signal, ignore_eos: true });
    const before = await stream.result;
    await harness.engine.score([1, 2], { signal });
    expect(listeners(signal)).toBe(0);
    controller.abort();
    expect(await stream.result).toBe(before);
    let numTokens = 0;
    for await (const { tokenIds } of stream) numTokens += tokenIds.length;
    expect(numTokens).toBe(3);
  });
});

describe('at every moment', () => {
  it.each([[[0]], [[1]], [[2]], [[0, 1, 2]]])('an abort of requests %j between any two events', async (victims) => {
    let numEvents = 0;
    let abortAt = 0;
    let controllers: AbortController[] = [];
    const harness = await EngineHarness.load(path(), {
      ...CROWDED,
      onSequenceEvent: () => {
        if (numEvents++ === abortAt) for (const victim of victims) controllers[victim]!.abort();
      },
    });
    let numPreemptions = 0;
    for (abortAt = 0; numEvents >= abortAt; abortAt++) {
      numEvents = 0;
      controllers = REQUESTS.map(() => new AbortController());
      const outcomes = await sendAll(
        harness,
        controllers.map(({ signal }) => signal),
      );
      for (const [i, outcome] of outcomes.entries()) {
        // A victim may have finished before.
        if (victims.includes(i) && outcome instanceof AbortError) continue;
        expect(outcome).toEqual(alone[i]);
      }
      expect(harness.findLeak()).toBeUndefined();
      numPreemptions = harness.engine.stats().numPreemptions;
    }
    // Some twenty events, preemptions among them.
    expect(abortAt).toBeGreaterThan(15);
    expect(numPreemptions).toBeGreaterThan(0);
    expect(await harness.close()).toBeUndefined();
  });

  // With this clock the step loop thinks that sampling takes long and gives the event loop a turn after every row.
  it('an abort in any turn of the event loop, between two rows that are sampled too', async () => {
    let nowMs = 0;
    const clock = { ...systemClock, nowMs: () => (nowMs += 50) };
    const harness = await EngineHarness.load(path(), { ...CROWDED, clock });
    let hasAbortedInTime = true;
    for (let turns = 0; hasAbortedInTime; turns++) {
      const controller = new AbortController();
      const outcomes = sendAll(harness, [undefined, controller.signal]);
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      controller.abort();
      const [first, second, third] = await outcomes;
      expect([first, third]).toEqual([alone[0], alone[2]]);
      hasAbortedInTime = second instanceof AbortError;
      if (!hasAbortedInTime) expect(second).toEqual(alone[1]);
      expect(harness.findLeak()).toBeUndefined();
      if (!hasAbortedInTime) expect(turns).toBeGreaterThan(30);
    }
    expect(await harness.close()).toBeUndefined();
  });

  it('closing, between any two events', async () => {
    let hasClosedInTime = true;
    for (let closeAt = 0; hasClosedInTime; closeAt++) {
      let numEvents = 0;
      let closed: Promise<void> | undefined;
      const harness: EngineHarness = await EngineHarness.load(path(), {
        ...CROWDED,
        onSequenceEvent: () => {
          if (numEvents++ === closeAt) closed = harness.engine.close();
        },
      });
      const outcomes = await sendAll(harness);
      for (const [i, outcome] of outcomes.entries()) {
        if (!(outcome instanceof EngineClosedError)) expect(outcome).toEqual(alone[i]);
      }
      hasClosedInTime = closed !== undefined;
      await closed;
      expect(await harness.close()).toBeUndefined();
      if (!hasClosedInTime) expect(closeAt).toBeGreaterThan(15);
    }
  });
});

describe('a deadline', () => {
  it('ends what waits and what runs, with the state in the error, and leaves others alone', async () => {
    const clock = new ManualClock();
    const harness = await EngineHarness.load(path(), { ...CROWDED, maxNumSeqs: 1, numThreads: 2, clock });
    const held = holdNextStep(harness);
    const { prompt, options } = REQUESTS[0]!;
    const running = harness.engine.generate(prompt, { ...options, deadlineMs: 50 });
    const queued = harness.engine.generate(prompt, { ...options, deadlineMs: 30 });
    const patient = harness.engine.generate(prompt, { ...options, deadlineMs: 1000 });
    await held.reached;
    clock.advance(60);
    held.release();
    const errors = await Promise.all([running, queued].map(({ result }) => rejection(result)));
    for (const error of errors) expect(error).toBeInstanceOf(RequestTimeoutError);
    expect(errors).toMatchObject([
      { details: { deadlineMs: 50, state: 'running' } },
      { details: { deadlineMs: 30, state: 'queued' } },
    ]);
    expect((await patient.result).choices.map(({ text }) => text)).toEqual(alone[0]);
    expect(harness.engine.stats()).toMatchObject({ numTimedOut: 2, numFinished: 1 });
    expect(await harness.close()).toBeUndefined();
    expect(clock.numTimers).toBe(0);
  });

  it('counts for scoring from the call, the wait for a batch included', async () => {
    const clock = new ManualClock();
    const harness = await EngineHarness.load(path(), { ...CROWDED, maxWaitMs: 100, clock });
    const hurried = harness.engine.score([1, 2, 3], { deadlineMs: 60 });
    const patient = harness.engine.embed([1, 2, 3], { deadlineMs: 1000 });
    clock.advance(70);
    expect(await rejection(hurried)).toMatchObject({ code: 'REQUEST_TIMEOUT', details: { state: 'queued' } });
    clock.advance(40);
    expect((await patient).numTokens).toBe(3);
    expect(await harness.close()).toBeUndefined();
    expect(clock.numTimers).toBe(0);
  });
});

describe('races', () => {
  type Action = { readonly kind: 'submit' | 'abort' | 'leave' | 'step' | 'read'; readonly request: number };

  it('whatever the order of sending, reading, aborting, leaving and computing, each gets its own text or its error', async () => {
    const harness = await EngineHarness.load(path(), CROWDED);
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler<Action>(),
        fc.array(fc.constantFrom('read', 'abort', 'leave'), { minLength: 3, maxLength: 3 }),
        async (scheduler, fates) => {
          harness.onStep = () => scheduler.schedule(Promise.resolve(), 'step');
          const follow = async (request: number): Promise<void> => {
            const { prompt, options } = REQUESTS[request]!;
            const turn = (kind: Action['kind']): Promise<void> =>
              scheduler.schedule(Promise.resolve(), kind, { kind, request });
            await turn('submit');
            const controller = new AbortController();
            const stream = harness.engine.generate(prompt, { ...options, signal: controller.signal });
            const fate = fates[request]!;
            const aborting = fate === 'abort' ? turn('abort').then(() => controller.abort()) : Promise.resolve();
            const texts = Array.from({ length: options.n ?? 1 }, () => '');
            try {
              let numChunks = 0;
              for await (const { index, text } of stream) {
                texts[index] += text;
                await turn('read');
                if (fate === 'leave' && ++numChunks === 2) break;
              }
              if (fate !== 'leave') expect(texts).toEqual(alone[request]);
            } catch (error) {
              if (!(fate === 'abort' && error instanceof AbortError)) throw error;
            }
            for (const [index, text] of texts.entries()) {
              expect(alone[request]![index]!.startsWith(text)).toBe(true);
            }
            await aborting;
          };
          await scheduler.waitFor(Promise.all(REQUESTS.map((_, request) => follow(request))));
          harness.onStep = undefined;
          // Whoever left may have done so in the middle of a step.
          await harness.engine.generate([3], { max_tokens: 1 }).result;
          expect(harness.findLeak()).toBeUndefined();
        },
      ),
      { numRuns: Math.round(fc.readConfigureGlobal().numRuns! * 0.3) },
    );
    expect(await harness.close()).toBeUndefined();
  });
});
