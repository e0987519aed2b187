import { describe, expect, it } from 'vitest';
import {
  AbortError,
  ContextLengthError,
  InvalidArgumentError,
  QueueFullError,
  RequestTimeoutError,
  WorkerCrashedError,
} from '../../../engine/errors.ts';
import { KvCacheManager } from '../../../engine/kvcache/kv-cache-manager.ts';
import type { KvCacheManagerOptions } from '../../../engine/kvcache/kv-cache-options.ts';
import { priorityOrder } from '../../../engine/scheduler/request-queue.ts';
import { Scheduler } from '../../../engine/scheduler/scheduler.ts';
import type { SchedulerOptions } from '../../../engine/scheduler/scheduler-options.ts';
import type { SchedulerOutput } from '../../../engine/scheduler/scheduler-output.ts';
import { Sequence, type SequenceOptions } from '../../../engine/scheduler/sequence.ts';
import { ManualClock } from './manual-clock.ts';

const TOKEN = 5;

function setUp(options: SchedulerOptions = {}, cache: Partial<KvCacheManagerOptions> = {}) {
  const clock = new ManualClock();
  const kvCacheManager = new KvCacheManager({ numBlocks: 101, blockSize: 4, watermark: 0, ...cache });
  const events: string[] = [];
  const listener = options.listener ?? ((event, { id }) => events.push(`${event} ${id}`));
  const scheduler = new Scheduler(kvCacheManager, clock, { ...options, listener });
  return { clock, kvCacheManager, scheduler, events };
}

/** A prompt of `length` tokens that no other id shares. */
function sequence(id: number, length: number, maxNewTokens: number, rest: Partial<SequenceOptions> = {}): Sequence {
  const promptTokenIds = Array.from({ length }, (_, i) => id * 1000 + i);
  return new Sequence({ id, promptTokenIds, maxNewTokens, ...rest });
}

/** Gives the step back with the same token for everybody. */
function complete(scheduler: Scheduler, output: SchedulerOutput): void {
  scheduler.update(output, new Map(output.scheduled.map(({ id }) => [id, [TOKEN]])));
}

/** One step as "id:numScheduledTokens ...". */
function step(scheduler: Scheduler): string {
  const output = scheduler.schedule();
  if (output === undefined) return '';
  complete(scheduler, output);
  return output.scheduled.map(({ id, numScheduledTokens }) => `${id}:${numScheduledTokens}`).join(' ');
}

describe('the one rule', () => {
  it('computes a prompt in chunks, samples after the last, then one token a step', () => {
    const { scheduler, events } = setUp({ maxNumBatchedTokens: 8, maxPrefillChunk: 4 });
    scheduler.add(sequence(1, 10, 3));
    const steps = Array.from({ length: 6 }, () => step(scheduler));
    expect(steps).toEqual(['1:4', '1:4', '1:2', '1:1', '1:1', '']);
    expect(events).toEqual(['queued 1', 'started 1', 'prefilled 1', 'firstToken 1', 'finished 1']);
  });

  it('mixes chunks of a long prompt with the tokens of running streams, which never wait', () => {
    const { scheduler } = setUp({ maxNumBatchedTokens: 8, maxNumSeqs: 4, maxPrefillChunk: 6 });
    scheduler.add(sequence(1, 2, 20));
    scheduler.add(sequence(2, 2, 20));
    step(scheduler);
    scheduler.add(sequence(3, 14, 5));
    scheduler.add(sequence(4, 3, 5));
    // 3 takes at most a chunk, so 4 finds tokens left in the third step.
    expect([step(scheduler), step(scheduler), step(scheduler)]).toEqual([
      '1:1 2:1 3:6',
      '1:1 2:1 3:6',
      '1:1 2:1 3:2 4:3',
    ]);
  });

  it('describes the step to the runner', () => {
    const { scheduler } = setUp({ maxNumBatchedTokens: 8, maxPrefillChunk: 6 });
    scheduler.add(sequence(1, 8, 5));
    complete(scheduler, scheduler.schedule()!);
    const output = scheduler.schedule()!;
    expect(output.stepIndex).toBe(2);
    expect(output.scheduled[0]).toEqual({
      id: 1,
      numComputedTokens: 6,
      numScheduledTokens: 2,
      tokenIds: Int32Array.of(1006, 1007),
      blockTable: Int32Array.of(1, 2),
      samples: true,
    });
  });

  it('ends a sequence that generates nothing when its prompt is computed', () => {
    const { scheduler } = setUp();
    const scored = sequence(1, 8, 0);
    scheduler.add(scored);
    const output = scheduler.schedule()!;
    expect(output.scheduled[0]!.samples).toBe(false);
    scheduler.update(output, new Map());
    expect(scored).toMatchObject({ finishReason: 'length', numComputedTokens: 8, numGeneratedTokens: 0 });
  });

  it('computes only the tail of a prompt that another request has computed', () => {
    const { scheduler, kvCacheManager } = setUp({}, { numBlocks: 201 });
    const shared = Array.from({ length: 400 }, (_, i) => i);
    const make = (id: number, tail: number, rest: Partial<SequenceOptions> = {}) =>
      new Sequence({ id, promptTokenIds: [...shared, tail], maxNewTokens: 1, ...rest });
    const [first, second, scored, stranger] = [
      make(1, 1),
      make(2, 2),
      make(3, 3, { readsPrefixCache: false }),
      make(4, 4, { cacheSalt: 'other' }),
    ];
    for (const each of [first, second, scored, stranger]) {
      scheduler.add(each);
      while (step(scheduler) !== '');
    }
    expect([first, second, scored, stranger].map(({ numCachedTokens }) => numCachedTokens)).toEqual([0, 400, 0, 0]);
    expect(kvCacheManager.stats().used).toBe(0);
  });

  it('takes several tokens from one step', () => {
    const { scheduler } = setUp();
    const drafted = sequence(1, 3, 5);
    scheduler.add(drafted);
    scheduler.update(scheduler.schedule()!, new Map([[1, [7, 8, 9]]]));
    expect(step(scheduler)).toBe('1:3');
    scheduler.update(scheduler.schedule()!, new Map([[1, [6, 6]]]));
    expect([...drafted.tokenIds.slice(3, drafted.numTokens)]).toEqual([7, 8, 9, TOKEN, 6]);
    expect(drafted.finishReason).toBe('length');
  });
});

describe('forks', () => {
  it('share the prompt and compute one row each', () => {
    const { scheduler, kvCacheManager } = setUp();
    const prompt = Array.from({ length: 10 }, (_, i) => i);
    const parent = new Sequence({ id: 1, promptTokenIds: prompt, maxNewTokens: 5 });
    const children = [2, 3].map((id) => new Sequence({ id, promptTokenIds: prompt, maxNewTokens: 5, forkOf: parent }));
    scheduler.addAll([parent, ...children]);
    expect(step(scheduler)).toBe('1:10');
    const output = scheduler.schedule()!;
    expect(output.scheduled.map(({ id, numScheduledTokens }) => `${id}:${numScheduledTokens}`)).toEqual([
      '1:1',
      '2:1',
      '3:1',
    ]);
    expect(output.blockCopies.length).toBe(2);
    // Two full blocks shared, the third once per sequence.
    expect(kvCacheManager.stats().used).toBe(2 + 3);
    expect(children.map(({ numCachedTokens }) => numCachedTokens)).toEqual([9, 9]);
    complete(scheduler, output);
  });

  it('leave no copy behind when all of a step end before it is launched', () => {
    const cut = { isOn: false };
    const { scheduler, kvCacheManager } = setUp({
      listener: (event) => {
        if (cut.isOn && event === 'started') for (const id of [1, 2]) scheduler.abort(id);
      },
    });
    const parent = sequence(1, 10, 5);
    const child = new Sequence({
      id: 2,
      promptTokenIds: parent.tokenIds.slice(0, 10),
      maxNewTokens: 5,
      forkOf: parent,
    });
    scheduler.addAll([parent, child]);
    expect(step(scheduler)).toBe('1:10');
    // The child starts in this step, and with it the copy of the parent's last block.
    cut.isOn = true;
    expect(scheduler.schedule()).toBeUndefined();
    expect([parent.finishReason, child.finishReason]).toEqual(['abort', 'abort']);
    expect(kvCacheManager.stats().used).toBe(0);
    cut.isOn = false;
    scheduler.add(sequence(3, 10, 1));
    const output = scheduler.schedule()!;
    expect(output.blockCopies).toEqual([]);
    complete(scheduler, output);
  });

  it('go on alone when the parent is gone', () => {
    const { scheduler } = setUp();
    const parent = sequence(1, 10, 5);
    const child = new Sequence({
      id: 2,
      promptTokenIds: parent.tokenIds.slice(0, 10),
      maxNewTokens: 5,
      forkOf: parent,
    });
    scheduler.addAll([parent, child]);
    const output = scheduler.schedule()!;
    scheduler.abort(1);
    complete(scheduler, output);
    expect(step(scheduler)).toBe('2:10');
  });

  it('need a parent that the scheduler knows, under the same salt', () => {
    const { scheduler } = setUp();
    const stranger = sequence(1, 3, 5);
    expect(() => scheduler.add(sequence(2, 3, 5, { forkOf: stranger }))).toThrow(/must be added first/);
    expect(() => sequence(2, 3, 5, { forkOf: stranger, cacheSalt: 'x' })).toThrow(/cacheSalt/);
  });
});

describe('memory', () => {
  it('preempts the newest when blocks run out, and computes it again later', () => {
    const { scheduler, events } = setUp({}, { numBlocks: 5, enablePrefixCaching: false });
    scheduler.add(sequence(1, 7, 8));
    scheduler.add(sequence(2, 7, 8));
    while (step(scheduler) !== '');
    expect(events.filter((event) => /preempted|resumed|finished/.test(event))).toEqual([
      'preempted 2',
      'finished 1',
      'resumed 2',
      'finished 2',
    ]);
    expect(scheduler.stats().numPreemptions).toBe(1);
  });

  it('says how much was cached when a sequence first started, not when it came back', () => {
    const { scheduler, kvCacheManager } = setUp({}, { numBlocks: 6 });
    const [first, second] = [sequence(1, 7, 8), sequence(2, 7, 8)];
    scheduler.addAll([first, second]);
    while (step(scheduler) !== '');
    expect(second).toMatchObject({ numPreemptions: 1, numCachedTokens: 0, finishReason: 'length' });
    expect(kvCacheManager.stats().hits).toBe(4);
  });

  it('preempts the least important first, under priorities', () => {
    const { scheduler, events } = setUp({ order: priorityOrder(1000) }, { numBlocks: 5, enablePrefixCaching: false });
    scheduler.add(sequence(1, 7, 8, { priority: 1 }));
    scheduler.add(sequence(2, 7, 8));
    while (step(scheduler) !== '');
    expect(events.filter((event) => event.startsWith('preempted'))).toEqual(['preempted 1']);
  });

  it('takes the tokens back from a preempted sequence that was scheduled already', () => {
    const options = { maxNumBatchedTokens: 7, maxNumSeqs: 4, maxPrefillChunk: 3, order: priorityOrder(1000) };
    const { scheduler, events } = setUp(options, { numBlocks: 15, enablePrefixCaching: false });
    scheduler.addAll([3, 4].map((id) => sequence(id, 2, 20, { priority: 1 })));
    step(scheduler);
    scheduler.addAll([1, 2].map((id) => sequence(id, 24, 2)));
    for (let i = 0; i < 6; i++) expect(step(scheduler)).toBe('3:1 4:1 1:3 2:2');
    // The streams are served first and take the last two blocks; then 1, more important, needs one. 4 gives up its blocks
    // and its token, and 2 gets the token.
    expect(step(scheduler)).toBe('3:1 1:3 2:3');
    expect(events.at(-1)).toBe('preempted 4');
  });

  it('does not admit two long prompts that fit only one by one', () => {
    const { scheduler } = setUp({ maxNumBatchedTokens: 8, maxPrefillChunk: 4 }, { numBlocks: 11 });
    scheduler.add(sequence(1, 24, 2));
    scheduler.add(sequence(2, 24, 2));
    while (step(scheduler) !== '');
    expect(scheduler.stats().numPreemptions).toBe(0);
  });

  it('keeps the watermark free when it admits, but not from a sequence that runs alone', () => {
    const { scheduler, kvCacheManager } = setUp({}, { numBlocks: 11, watermark: 0.3 });
    scheduler.add(sequence(1, 28, 4));
    scheduler.add(sequence(2, 4, 1));
    expect(step(scheduler)).toBe('1:28');
    expect(kvCacheManager.watermarkBlocks).toBe(3);
    expect(step(scheduler)).toBe('1:1');
    while (step(scheduler) !== '');
    scheduler.add(sequence(3, 40, 1));
    expect(step(scheduler)).toBe('3:40');
  });

  it('refuses what could never fit', () => {
    const { scheduler } = setUp({}, { numBlocks: 5 });
    scheduler.add(sequence(1, 10, 7));
    expect(() => scheduler.add(sequence(2, 10, 8))).toThrow(ContextLengthError);
    expect(scheduler.stats().numWaiting).toBe(1);
  });
});

describe('the queue', () => {
  it('is bounded by requests: of 1,000, a queue of 100 takes 100', () => {
    const { scheduler, kvCacheManager } = setUp({ maxNumQueuedRequests: 100 });
    let numRefused = 0;
    for (let id = 1; id <= 1000; id++) {
      try {
        scheduler.add(sequence(id, 2, 2));
      } catch (error) {
        expect(error).toBeInstanceOf(QueueFullError);
        numRefused++;
      }
    }
    expect(numRefused).toBe(900);
    while (step(scheduler) !== '');
    expect(scheduler.hasUnfinished).toBe(false);
    expect(kvCacheManager.stats().used).toBe(0);
  });

  it('is bounded by tokens, yet takes any single request when empty', () => {
    const { scheduler } = setUp({ maxNumQueuedTokens: 10 });
    scheduler.add(sequence(1, 30, 2));
    expect(() => scheduler.add(sequence(2, 1, 2))).toThrow(QueueFullError);
    step(scheduler);
    scheduler.add(sequence(3, 6, 2));
    expect(() => scheduler.add(sequence(4, 5, 2))).toThrow(/10 tokens/);
  });

  it('takes a group whole or not at all', () => {
    const { scheduler } = setUp({ maxNumQueuedRequests: 3 });
    scheduler.add(sequence(9, 2, 2));
    expect(() => scheduler.addAll([1, 2, 3].map((id) => sequence(id, 2, 2)))).toThrow(QueueFullError);
    expect(() => scheduler.addAll([sequence(1, 2, 2), sequence(1, 2, 2)])).toThrow(InvalidArgumentError);
    expect(scheduler.stats().numWaiting).toBe(1);
    scheduler.addAll([sequence(1, 2, 2), sequence(2, 2, 2)]);
    expect(scheduler.stats().numWaiting).toBe(3);
  });

  // It would be refused again however often it came.
  it('takes a group larger than itself when it is empty', () => {
    const { scheduler } = setUp({ maxNumQueuedRequests: 2, maxNumQueuedTokens: 2, maxNumSeqs: 2 });
    scheduler.addAll([1, 2, 3].map((id) => sequence(id, 2, 1)));
    expect(() => scheduler.add(sequence(4, 2, 1))).toThrow(/2 requests/);
    expect([step(scheduler), step(scheduler)]).toEqual(['1:2 2:2', '3:2']);
    scheduler.add(sequence(4, 2, 1));
  });
});

describe('ends of all kinds', () => {
  it('times out while queued and while running', () => {
    const { scheduler, clock, kvCacheManager } = setUp({ maxNumSeqs: 1 });
    const running = sequence(1, 4, 50, { deadlineMs: 30 });
    const queued = sequence(2, 4, 50, { deadlineMs: 20 });
    scheduler.addAll([running, queued]);
    expect(scheduler.nextExpiryMs).toBe(20);
    step(scheduler);
    clock.advance(20);
    step(scheduler);
    expect(queued.error).toBeInstanceOf(RequestTimeoutError);
    expect(queued.error?.message).toMatch(/20 ms while queued/);
    expect(scheduler.nextExpiryMs).toBe(30);
    const output = scheduler.schedule()!;
    clock.advance(10);
    scheduler.expireDeadlines();
    expect(running).toMatchObject({ finishReason: 'timeout', status: 'finished' });
    expect(running.error?.message).toMatch(/30 ms while running/);
    complete(scheduler, output);
    expect(kvCacheManager.stats().used).toBe(0);
    expect(scheduler.schedule()).toBeUndefined();
  });

  it('times out at once when told that the deadline has passed', () => {
    const { scheduler, kvCacheManager, events } = setUp();
    const running = sequence(1, 4, 9, { deadlineMs: 1000 });
    scheduler.add(running);
    const output = scheduler.schedule()!;
    expect(scheduler.expire(1)).toBe(true);
    expect(scheduler.expire(1)).toBe(false);
    complete(scheduler, output);
    expect(running.error?.message).toMatch(/1000 ms while running/);
    expect(events.at(-1)).toBe('timedOut 1');
    expect(kvCacheManager.stats().used).toBe(0);
  });

  it('aborts at any moment', () => {
    const { scheduler, kvCacheManager, events } = setUp();
    const [queued, midStep, running] = [sequence(1, 4, 9), sequence(2, 4, 9), sequence(3, 4, 9)];
    scheduler.addAll([queued, midStep, running]);
    expect(scheduler.abort(1, 'changed my mind')).toBe(true);
    const output = scheduler.schedule()!;
    scheduler.abort(2);
    complete(scheduler, output);
    expect(midStep.numGeneratedTokens).toBe(0);
    scheduler.abort(3);
    expect(scheduler.abort(3)).toBe(false);
    expect(scheduler.abort(99)).toBe(false);
    expect(queued.error).toBeInstanceOf(AbortError);
    expect(queued.error?.cause).toBe('changed my mind');
    expect(kvCacheManager.stats().used).toBe(0);
    expect(events.filter((event) => event.startsWith('aborted'))).toEqual(['aborted 1', 'aborted 2', 'aborted 3']);
  });

  it('tells the runner who ended, once, and only of those it has met', () => {
    const { scheduler } = setUp({ maxNumSeqs: 2 });
    for (let id = 1; id <= 4; id++) scheduler.add(sequence(id, 4, 9));
    step(scheduler);
    scheduler.abort(1);
    scheduler.abort(4);
    const output = scheduler.schedule()!;
    expect(output.finishedIds).toEqual([1]);
    complete(scheduler, output);
    expect(scheduler.schedule()!.finishedIds).toEqual([]);
  });

  it('fails the sequences of a step that was lost, and nobody else', () => {
    const { scheduler, kvCacheManager } = setUp({ maxNumSeqs: 2 });
    const all = [1, 2, 3].map((id) => sequence(id, 4, 2));
    scheduler.addAll(all);
    const error = new WorkerCrashedError('worker 1 died');
    scheduler.failStep(scheduler.schedule()!, error);
    expect(all.map((each) => each.error)).toEqual([error, error, undefined]);
    while (step(scheduler) !== '');
    expect(all[2]!.finishReason).toBe('length');
    expect(kvCacheManager.stats().used).toBe(0);
    // Nothing of the lost step can be found.
    expect(kvCacheManager.getComputedBlocks(sequence(1, 5, 1)).blockIds).toEqual([]);
  });

  it('loses the KV cache: what runs is computed again or fails, what waits goes on, nothing old is found', () => {
    for (const outcome of ['restart', new Error('the GPU was lost')] as const) {
      const { scheduler, kvCacheManager, events } = setUp({ maxNumSeqs: 2 });
      const [first, second, waiting] = [sequence(1, 9, 3), sequence(2, 4, 3), sequence(3, 4, 2)] as const;
      scheduler.addAll([first, second, waiting]);
      expect(step(scheduler)).toBe('1:9 2:4');
      expect(kvCacheManager.getComputedBlocks(first).blockIds).toHaveLength(2);
      scheduler.schedule();
      scheduler.loseKvCache(outcome);
      expect(scheduler.isStepInFlight).toBe(false);
      expect(kvCacheManager.stats()).toMatchObject({ used: 0, cached: 0 });
      expect(kvCacheManager.findInconsistency()).toBeUndefined();
      if (outcome === 'restart') {
        expect(events.slice(-2).sort()).toEqual(['preempted 1', 'preempted 2']);
        // From the first token on, with the one that was generated.
        expect(step(scheduler)).toBe('1:10 2:5');
      } else {
        expect([first.error, second.error, waiting.error]).toEqual([outcome, outcome, undefined]);
      }
      while (step(scheduler) !== '');
      expect(waiting.numGeneratedTokens).toBe(2);
      expect([first, second].map(({ numGeneratedTokens }) => numGeneratedTokens)).toEqual(
        outcome === 'restart' ? [3, 3] : [1, 1],
      );
      expect(kvCacheManager.stats().used).toBe(0);
    }
  });

  it('loses the KV cache while a fork waits for its parent', () => {
    const { scheduler, kvCacheManager } = setUp();
    const parent = sequence(1, 6, 3);
    const fork = new Sequence({
      id: 2,
      promptTokenIds: [...parent.tokenIds.slice(0, 6)],
      maxNewTokens: 3,
      forkOf: parent,
    });
    scheduler.addAll([parent, fork]);
    scheduler.schedule();
    scheduler.loseKvCache('restart');
    while (step(scheduler) !== '');
    expect([parent, fork].map(({ finishReason }) => finishReason)).toEqual(['length', 'length']);
    expect(kvCacheManager.stats().used).toBe(0);
  });

  it('fails everything, also in the middle of a step', () => {
    const { scheduler, kvCacheManager } = setUp({ maxNumSeqs: 1 });
    const all = [sequence(1, 4, 2), sequence(2, 4, 2)];
    scheduler.addAll(all);
    const output = scheduler.schedule()!;
    scheduler.failAll(new Error('closed'));
    expect(all.every(({ finishReason }) => finishReason === 'error')).toBe(true);
    expect(scheduler.isStepInFlight).toBe(true);
    // The model may still be writing: no new step before the old one is given back.
    scheduler.add(sequence(1, 4, 1));
    expect(() => scheduler.schedule()).toThrow(/not given back/);
    complete(scheduler, output);
    expect(step(scheduler)).toBe('1:4');
    expect(kvCacheManager.stats().used).toBe(0);
  });

  it('lets a stop check end a sequence, or fail it alone by throwing', () => {
    const { scheduler } = setUp({
      stopCheck: ({ id }) => {
        if (id === 1) return 'stop';
        if (id === 2) throw new Error('bad stop check');
        return undefined;
      },
    });
    const all = [1, 2, 3].map((id) => sequence(id, 4, 2));
    scheduler.addAll(all);
    step(scheduler);
    expect(all.map(({ finishReason }) => finishReason)).toEqual(['stop', 'error', undefined]);
    expect(all[1]!.error?.message).toBe('bad stop check');
  });

  it('fails a sequence that is given what is no token, and asks for a missing one before it changes anything', () => {
    const { scheduler } = setUp();
    const [bad, good] = [sequence(1, 4, 2), sequence(2, 4, 2)];
    scheduler.addAll([bad, good]);
    const output = scheduler.schedule()!;
    expect(() => scheduler.update(output, new Map([[1, [3]]]))).toThrow(/sequence 2 samples/);
    expect(bad.numComputedTokens).toBe(0);
    scheduler.update(
      output,
      new Map([
        [1, [Number.NaN]],
        [2, [3]],
      ]),
    );
    expect([bad.finishReason, good.finishReason]).toEqual(['error', undefined]);
    expect(() => scheduler.update(output, new Map())).toThrow(/no step is in flight/);
    expect(() => scheduler.failStep(output, new Error('late'))).toThrow(InvalidArgumentError);
  });
});

describe('events', () => {
  it('reach listeners when the state is whole: they may call back, and may throw', () => {
    const heard: string[] = [];
    const { scheduler, kvCacheManager } = setUp({
      listener: (event, { id }) => {
        heard.push(`${event} ${id}`);
        if (event === 'started' && id === 1) scheduler.abort(2);
        if (event === 'firstToken') throw new Error('listener');
      },
    });
    scheduler.addAll([1, 2, 3].map((id) => sequence(id, 4, 1)));
    const output = scheduler.schedule()!;
    expect(output.scheduled.map(({ id }) => id)).toEqual([1, 3]);
    expect(() => complete(scheduler, output)).toThrow('listener');
    expect(heard.slice(3)).toEqual([
      'started 1',
      'started 2',
      'started 3',
      'aborted 2',
      'prefilled 1',
      'firstToken 1',
      'finished 1',
      'prefilled 3',
      'firstToken 3',
      'finished 3',
    ]);
    expect(scheduler.schedule()).toBeUndefined();
    expect(kvCacheManager.stats().used).toBe(0);
  });
});

describe('options', () => {
  it.each([
    [{ maxNumSeqs: 0 }, /maxNumSeqs/],
    [{ maxNumBatchedTokens: 4, maxNumSeqs: 5 }, /at least maxNumSeqs/],
    [{ maxNumBatchedTokens: 4, maxPrefillChunk: 5 }, /maxPrefillChunk/],
    [{ maxNumQueuedRequests: 0 }, /maxNumQueuedRequests/],
    [{ maxNumQueuedTokens: 0.5 }, /maxNumQueuedTokens/],
  ])('refuses %o', (options, message) => {
    expect(() => setUp(options)).toThrow(message);
  });

  it.each([
    [{ promptTokenIds: [] }, /promptTokenIds/],
    [{ promptTokenIds: [1, -1] }, /tokenId/],
    [{ promptTokenIds: [2 ** 31] }, /tokenId/],
    [{ maxNewTokens: -1 }, /maxNewTokens/],
    [{ priority: 0.5 }, /priority/],
    [{ priority: 1e9 }, /priority/],
    [{ deadlineMs: 0 }, /deadlineMs/],
    [{ deadlineMs: Number.NaN }, /deadlineMs/],
    [{ id: -1 }, /id/],
  ])('refuses a sequence with %o', (options, message) => {
    expect(() => new Sequence({ id: 1, promptTokenIds: [1], maxNewTokens: 1, ...options })).toThrow(message);
  });

  it('refuses ageing that would not age, or not be exact', () => {
    for (const ageingMs of [0, -1, Number.NaN, 1e10]) expect(() => priorityOrder(ageingMs)).toThrow(/ageingMs/);
  });
});
