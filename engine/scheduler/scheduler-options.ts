/** The scheduler's options: defaults, units, limits. */
import { InvalidArgumentError } from '../errors.ts';
import { checkCount } from '../kvcache/count-argument.ts';
import { type PreemptionPolicy, preemptLast } from './preemption-policy.ts';
import { fcfsOrder, type RequestOrder } from './request-queue.ts';
import type { StopCheck } from './sequence.ts';
import type { SequenceListener } from './sequence-events.ts';

export interface SchedulerOptions {
  /** Tokens computed in one step, over all sequences: bounds how long a step takes, and with it the inter-token latency
   * of every stream. At least `maxNumSeqs`, so that each running stream gets its token in every step. Default 512. */
  readonly maxNumBatchedTokens?: number;
  /** Sequences running at a time. Minimum 1, default 64, or `maxNumBatchedTokens` if that is less. */
  readonly maxNumSeqs?: number;
  /** Tokens of one sequence in one step: a long prompt leaves room for others. Minimum 1; at most
   * `maxNumBatchedTokens`, default half of it. */
  readonly maxPrefillChunk?: number;
  /** Sequences waiting at a time. A single group, added when none waits, may exceed it. Minimum 1, default 1024. */
  readonly maxNumQueuedRequests?: number;
  /** Tokens of all waiting sequences. A single group may exceed it likewise. Minimum 1; default: no bound. */
  readonly maxNumQueuedTokens?: number;
  /** Default first come, first served. */
  readonly order?: RequestOrder;
  readonly preemptionPolicy?: PreemptionPolicy;
  /** Ends a sequence before `maxNewTokens`. Default: never. */
  readonly stopCheck?: StopCheck;
  readonly listener?: SequenceListener;
}

export type ResolvedSchedulerOptions = Required<Omit<SchedulerOptions, 'listener'>>;

/** @throws InvalidArgumentError */
export function resolveSchedulerOptions(options: SchedulerOptions): ResolvedSchedulerOptions {
  const { maxNumBatchedTokens = 512, maxNumQueuedRequests = 1024 } = options;
  const { maxNumQueuedTokens = Number.MAX_SAFE_INTEGER } = options;
  const { maxNumSeqs = Math.min(64, maxNumBatchedTokens) } = options;
  const { maxPrefillChunk = Math.ceil(maxNumBatchedTokens / 2) } = options;
  checkCount('maxNumSeqs', maxNumSeqs, 1);
  checkCount('maxNumBatchedTokens', maxNumBatchedTokens, 1);
  checkCount('maxPrefillChunk', maxPrefillChunk, 1);
  checkCount('maxNumQueuedRequests', maxNumQueuedRequests, 1);
  checkCount('maxNumQueuedTokens', maxNumQueuedTokens, 1);
  if (maxNumBatchedTokens < maxNumSeqs) {
    const advice = `must be at least maxNumSeqs (${maxNumSeqs}), so that every running sequence can get a token in a step`;
    throw new InvalidArgumentError('maxNumBatchedTokens', `${advice}; got ${maxNumBatchedTokens}`);
  }
  if (maxPrefillChunk > maxNumBatchedTokens) {
    const limit = `must be at most maxNumBatchedTokens (${maxNumBatchedTokens})`;
    throw new InvalidArgumentError('maxPrefillChunk', `${limit}, got ${maxPrefillChunk}`);
  }
  return {
    maxNumBatchedTokens,
    maxNumSeqs,
    maxPrefillChunk,
    maxNumQueuedRequests,
    maxNumQueuedTokens,
    order: options.order ?? fcfsOrder,
    preemptionPolicy: options.preemptionPolicy ?? preemptLast,
    stopCheck: options.stopCheck ?? (() => undefined),
  };
}
