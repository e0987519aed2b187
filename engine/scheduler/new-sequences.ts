/** Whether sequences may be queued. Changes nothing, so that a group is taken whole or not at all. */
import { InvalidArgumentError, QueueFullError } from '../errors.ts';
import type { KvCacheManager } from '../kvcache/kv-cache-manager.ts';
import type { RequestQueue } from './request-queue.ts';
import type { ResolvedSchedulerOptions } from './scheduler-options.ts';
import type { Sequence } from './sequence.ts';

export interface SchedulerState {
  /** Sequences that have not ended, by id. */
  readonly unfinished: ReadonlyMap<number, Sequence>;
  readonly waiting: RequestQueue;
  readonly kvCacheManager: KvCacheManager;
  readonly options: ResolvedSchedulerOptions;
}

/** @throws InvalidArgumentError  an id is taken, a sequence was added before, or a fork lacks its parent
 *  @throws ContextLengthError    the whole KV cache could not hold one of them
 *  @throws QueueFullError        too many sequences or tokens are waiting now */
export function checkNewSequences(sequences: readonly Sequence[], state: SchedulerState): void {
  const { unfinished, kvCacheManager, options } = state;
  const added = new Map<number, Sequence>();
  for (const sequence of sequences) {
    const { id, status, forkOf } = sequence;
    if (unfinished.has(id) || added.has(id)) throw new InvalidArgumentError('id', `${id} is in use`);
    if (status !== 'waiting') throw new InvalidArgumentError('sequence', `${id} has run before; make a new one`);
    if (forkOf?.isFinished === false && (unfinished.get(forkOf.id) ?? added.get(forkOf.id)) !== forkOf) {
      throw new InvalidArgumentError('forkOf', `${id} is a fork of ${forkOf.id}, which must be added first`);
    }
    kvCacheManager.checkCapacity(sequence.maxNumComputedTokens, options.maxPrefillChunk);
    added.set(id, sequence);
  }
  checkQueue(sequences, state);
}

function checkQueue(sequences: readonly Sequence[], { waiting, options }: SchedulerState): void {
  // An empty queue takes any request: refused now, it would be refused always.
  if (waiting.size === 0) return;
  const { maxNumQueuedRequests, maxNumQueuedTokens } = options;
  if (waiting.size + sequences.length > maxNumQueuedRequests) {
    throw new QueueFullError('requests', maxNumQueuedRequests);
  }
  const numTokens = sequences.reduce((sum, sequence) => sum + sequence.numTokens, 0);
  if (waiting.numTokens + numTokens > maxNumQueuedTokens) throw new QueueFullError('tokens', maxNumQueuedTokens);
}
