/** Two ways to put a service under load, and what comes of one repetition of either.
 *
 *   closed loop  so many callers, each of whom asks again when the answer is there: how much can the engine do?
 *   poisson      requests come when they come: how long does one wait at a load that can be sustained? */
import { setTimeout as delay } from 'node:timers/promises';
import { percentile } from '../../cli/statistics.ts';
import type { Engine } from '../../engine/engine.ts';
import { withEventLoopDelay } from '../lib/event-loop.ts';
import { type RequestTiming, timedRequest } from './timed-request.ts';
import type { WorkloadRequest } from './workload.ts';

/** The figures of one repetition. */
export interface LoadSample {
  readonly tokensPerSecond: number;
  readonly requestsPerSecond: number;
  readonly ttftP50Ms: number;
  readonly ttftP99Ms: number;
  readonly itlP50Ms: number;
  readonly itlP99Ms: number;
  /** Share of prompt tokens that the prefix cache supplied, 0 to 1. */
  readonly cacheHitRate: number;
  readonly numPreemptions: number;
  readonly eventLoopP50Ms: number;
  readonly eventLoopP99Ms: number;
  readonly eventLoopMaxMs: number;
  readonly eventLoopOwnMaxMs: number;
}

export interface LoadOptions {
  readonly requests: readonly WorkloadRequest[];
  /** Callers at a time, for a closed loop. */
  readonly concurrency: number;
  /** ms from the start, one per request, for a Poisson load; absent for a closed loop. */
  readonly arrivalsMs?: readonly number[];
  readonly cacheSalt: string;
}

export async function measureLoad(engine: Engine, options: LoadOptions): Promise<LoadSample> {
  const before = engine.stats();
  const startMs = performance.now();
  const { result: timings, delay: eventLoop } = await withEventLoopDelay(() => drive(engine, options));
  const seconds = (performance.now() - startMs) / 1000;
  const after = engine.stats();
  const ttftMs = timings.map((timing) => timing.ttftMs);
  const itlMs = timings.flatMap((timing) => timing.itlMs);
  const numTokens = timings.reduce((sum, { numNewTokens }) => sum + numNewTokens, 0);
  return {
    tokensPerSecond: numTokens / seconds,
    requestsPerSecond: timings.length / seconds,
    ttftP50Ms: percentile(ttftMs, 50),
    ttftP99Ms: percentile(ttftMs, 99),
    itlP50Ms: percentile(itlMs, 50),
    itlP99Ms: percentile(itlMs, 99),
    cacheHitRate: (after.numCachedTokens - before.numCachedTokens) / (after.numPromptTokens - before.numPromptTokens),
    numPreemptions: after.numPreemptions - before.numPreemptions,
    eventLoopP50Ms: eventLoop.p50Ms,
    eventLoopP99Ms: eventLoop.p99Ms,
    eventLoopMaxMs: eventLoop.maxMs,
    eventLoopOwnMaxMs: eventLoop.ownMaxMs,
  };
}

function drive(engine: Engine, options: LoadOptions): Promise<RequestTiming[]> {
  return options.arrivalsMs === undefined ? closedLoop(engine, options) : openLoop(engine, options, options.arrivalsMs);
}

async function closedLoop(engine: Engine, { requests, concurrency, cacheSalt }: LoadOptions): Promise<RequestTiming[]> {
  const timings: RequestTiming[] = [];
  const waiting = requests.entries();
  const caller = async (): Promise<void> => {
    for (const [seed, request] of waiting) timings.push(await timedRequest(engine, request, { seed, cacheSalt }));
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  return timings;
}

function openLoop(
  engine: Engine,
  { requests, cacheSalt }: LoadOptions,
  arrivalsMs: readonly number[],
): Promise<RequestTiming[]> {
  const startMs = performance.now();
  return Promise.all(
    requests.map(async (request, seed) => {
      await delay(Math.max(0, arrivalsMs[seed]! - (performance.now() - startMs)));
      return timedRequest(engine, request, { seed, cacheSalt });
    }),
  );
}
