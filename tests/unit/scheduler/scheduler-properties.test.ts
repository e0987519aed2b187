/** The property of the house, for the bookkeeping: whatever else happens, a sequence gets the tokens it would get alone. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContextLengthError, QueueFullError } from '../../../engine/errors.ts';
import { Rng } from '../../../engine/util/rng.ts';
import {
  SchedulerSimulation,
  type SimulatedRequest,
  type SimulationOptions,
  type SimulationStep,
} from './scheduler-simulation.ts';

const optionsArbitrary: fc.Arbitrary<SimulationOptions> = fc.record({
  numBlocks: fc.integer({ min: 4, max: 24 }),
  blockSize: fc.integer({ min: 1, max: 6 }),
  slidingWindow: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
  enablePrefixCaching: fc.constantFrom(true, true, false),
  watermark: fc.constantFrom(0, 0.01, 0.2),
  maxNumSeqs: fc.integer({ min: 1, max: 6 }),
  extraBudget: fc.nat(20),
  maxPrefillChunk: fc.integer({ min: 1, max: 12 }),
  ageingMs: fc.option(fc.constantFrom(1, 10, 1000), { nil: undefined }),
});

const requestArbitrary: fc.Arbitrary<SimulatedRequest> = fc.record({
  // Two token ids only, so that prompts share prefixes.
  prompt: fc.array(fc.nat(1), { minLength: 1, maxLength: 30, size: 'max' }),
  maxNewTokens: fc.nat(12),
  priority: fc.integer({ min: -2, max: 2 }),
  deadlineMs: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined, freq: 5 }),
  cacheSalt: fc.constantFrom('', '', '', 'tenant'),
  readsPrefixCache: fc.constantFrom(true, true, true, false),
  n: fc.constantFrom(1, 1, 1, 2, 3),
});

const stepArbitrary: fc.Arbitrary<SimulationStep> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ op: fc.constant('add' as const), request: requestArbitrary }) },
  { weight: 10, arbitrary: fc.constant({ op: 'step' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constantFrom('abort' as const, 'fail'), pick: fc.nat(99), midStep: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.constant({ op: 'failStep' as const }) },
  { weight: 2, arbitrary: fc.constant({ op: 'abortStarting' as const }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('wait' as const), ms: fc.nat(20) }) },
);

/** Requests that could never fit are refused, as they should be; all else must succeed. */
function applyOrRefuse(simulation: SchedulerSimulation, step: SimulationStep): void {
  try {
    simulation.apply(step);
  } catch (error) {
    if (!(error instanceof ContextLengthError || error instanceof QueueFullError)) throw error;
  }
}

describe('Scheduler with a fake model', () => {
  it('gives every sequence the tokens it gets alone, whatever happens around it', () => {
    fc.assert(
      fc.property(
        optionsArbitrary,
        fc.array(stepArbitrary, { minLength: 1, maxLength: 60, size: 'max' }),
        (options, steps) => {
          const simulation = new SchedulerSimulation(options);
          for (const step of steps) applyOrRefuse(simulation, step);
          simulation.drain();
          simulation.checkEnd();
        },
      ),
    );
  });

  it.each([
    ['no window', undefined],
    ['a sliding window', 9],
  ])('holds over 10,000 random operations with %s', (_, slidingWindow) => {
    const rng = Rng.fromSeed(3);
    const random = (below: number): number => rng.nextUint32() % below;
    const simulation = new SchedulerSimulation({
      numBlocks: slidingWindow === undefined ? 40 : 20,
      blockSize: 4,
      slidingWindow,
      enablePrefixCaching: true,
      watermark: 0.05,
      maxNumSeqs: 8,
      extraBudget: 16,
      maxPrefillChunk: 10,
      ageingMs: 20,
    });
    const randomStep = (): SimulationStep => {
      const kind = random(100);
      if (kind < 15 && simulation.scheduler.stats().numWaiting < 20) {
        const prompt = Array.from({ length: 1 + random(40) }, () => random(2));
        const deadlineMs = random(10) === 0 ? 1 + random(40) : undefined;
        const shared = { priority: random(3), cacheSalt: random(8) === 0 ? 'tenant' : '', readsPrefixCache: true };
        return { op: 'add', request: { ...shared, prompt, deadlineMs, maxNewTokens: random(25), n: 1 + random(3) } };
      }
      if (kind < 18) return { op: random(2) === 0 ? 'abort' : 'fail', pick: random(99), midStep: random(2) === 0 };
      if (kind < 19) return { op: random(2) === 0 ? 'failStep' : 'abortStarting' };
      if (kind < 30) return { op: 'wait', ms: random(10) };
      return { op: 'step' };
    };
    for (let i = 0; i < 10_000; i++) simulation.apply(randomStep());
    simulation.drain();
    simulation.checkEnd();
    // A run that met none of these would have shown little.
    const { hits } = simulation.kvCacheManager.stats();
    const count = (reason: string): number =>
      simulation.sequences.filter(({ finishReason }) => finishReason === reason).length;
    expect(hits).toBeGreaterThan(1000);
    expect(simulation.scheduler.stats().numPreemptions).toBeGreaterThan(100);
    expect(simulation.model.numBlockCopies).toBeGreaterThan(100);
    for (const reason of ['stop', 'length', 'abort', 'timeout', 'error']) expect(count(reason)).toBeGreaterThan(10);
  });

  it('starts requests first come, first served', () => {
    const plainRequest = requestArbitrary.map((request) => ({ ...request, deadlineMs: undefined, n: 1 }));
    const arrivals = fc.array(fc.oneof(plainRequest, fc.constant(undefined)), { maxLength: 40, size: 'max' });
    fc.assert(
      fc.property(optionsArbitrary, arrivals, (options, requests) => {
        const simulation = new SchedulerSimulation({ ...options, ageingMs: undefined });
        for (const request of requests) {
          applyOrRefuse(simulation, request === undefined ? { op: 'step' } : { op: 'add', request });
        }
        simulation.drain();
        expect(simulation.startedIds).toEqual([...simulation.startedIds].sort((a, b) => a - b));
        expect(simulation.startedIds.length).toBe(simulation.sequences.length);
      }),
    );
  });

  it('starves nobody: an unimportant request starts in time under a flood of important ones', () => {
    const simulation = new SchedulerSimulation({
      numBlocks: 20,
      blockSize: 4,
      slidingWindow: undefined,
      enablePrefixCaching: false,
      watermark: 0,
      maxNumSeqs: 2,
      extraBudget: 6,
      maxPrefillChunk: 8,
      ageingMs: 50,
    });
    const request = { prompt: [1, 2, 3], deadlineMs: undefined, cacheSalt: '', readsPrefixCache: true, n: 1 };
    const flood = (): void => {
      // More work than two places can do: without ageing, these would go first for ever.
      while (simulation.scheduler.stats().numWaiting < 10) {
        simulation.add({ ...request, maxNewTokens: 5, priority: 0 });
      }
    };
    flood();
    const [unimportant] = simulation.add({ ...request, maxNewTokens: 5, priority: 4 });
    let waitedMs = 0;
    while (!unimportant!.isFinished) {
      flood();
      simulation.step();
      simulation.clock.advance(1);
      waitedMs++;
      expect(waitedMs).toBeLessThan(1000);
    }
    // 4 levels of 50 ms, then the at most 10 that were queued before it became first, 5 or 6 steps each, two at a time.
    expect(waitedMs).toBeGreaterThan(4 * 50);
    expect(waitedMs).toBeLessThan(4 * 50 + 10 * 6);
  });
});
