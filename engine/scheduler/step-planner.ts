/** Decides what one step computes. There is no prefill phase and no decode phase, only one rule: give sequences tokens
 * until `numComputedTokens` catches up with `numTokens`. In this order:
 *
 *   1. running sequences that lack one token: every open stream moves in every step, whatever else there is
 *   2. running sequences that lack more (prompts, or preempted ones computing again), a chunk each
 *   3. waiting sequences, as long as tokens, places and memory are left
 *
 * When 1 or 2 finds no block, the preemption policy names a sequence to take them from. 3 never takes from anybody.
 * Writes sequences' status and counts on behalf of the `Scheduler`, whose queues it shares.
 *
 * Source  Yu et al. 2022 (Orca): scheduling by iteration; Agrawal et al. 2023 (Sarathi): chunked prefill beside decode */
import type { KvCacheManager } from '../kvcache/kv-cache-manager.ts';
import type { RequestQueue } from './request-queue.ts';
import type { ResolvedSchedulerOptions } from './scheduler-options.ts';
import type { Sequence } from './sequence.ts';
import type { SequenceEvents } from './sequence-events.ts';

/** Tokens to compute per sequence, in the order in which they were given. */
export class StepPlan {
  readonly numTokens = new Map<Sequence, number>();
  readonly preempted: Sequence[] = [];
  tokensLeft: number;

  constructor(maxNumBatchedTokens: number) {
    this.tokensLeft = maxNumBatchedTokens;
  }

  give(sequence: Sequence, numTokens: number): void {
    this.numTokens.set(sequence, numTokens);
    this.tokensLeft -= numTokens;
  }

  takeBack(sequence: Sequence): void {
    this.tokensLeft += this.numTokens.get(sequence) ?? 0;
    this.numTokens.delete(sequence);
  }
}

export interface StepPlannerParts {
  readonly waiting: RequestQueue;
  readonly running: RequestQueue;
  readonly kvCacheManager: KvCacheManager;
  readonly options: ResolvedSchedulerOptions;
  readonly events: SequenceEvents;
}

export class StepPlanner {
  readonly #waiting: RequestQueue;
  readonly #running: RequestQueue;
  readonly #kvCache: KvCacheManager;
  readonly #options: ResolvedSchedulerOptions;
  readonly #events: SequenceEvents;

  constructor(parts: StepPlannerParts) {
    this.#waiting = parts.waiting;
    this.#running = parts.running;
    this.#kvCache = parts.kvCacheManager;
    this.#options = parts.options;
    this.#events = parts.events;
  }

  plan(nowMs: number): StepPlan {
    const plan = new StepPlan(this.#options.maxNumBatchedTokens);
    // A snapshot, as preemption takes sequences out of `running` on the way.
    const running = [...this.#running];
    for (const sequence of running) if (numMissing(sequence) === 1) this.#continue(sequence, plan, nowMs);
    for (const sequence of running) if (numMissing(sequence) > 1) this.#continue(sequence, plan, nowMs);
    // Whoever was just preempted would come first and take the memory back.
    if (plan.preempted.length === 0) this.#admit(plan, nowMs);
    return plan;
  }

  #continue(sequence: Sequence, plan: StepPlan, nowMs: number): void {
    const numTokens = Math.min(numMissing(sequence), this.#options.maxPrefillChunk, plan.tokensLeft);
    if (sequence.status !== 'running' || numTokens === 0) return;
    while (this.#kvCache.allocateSlots(sequence, numTokens) === undefined) {
      const victim = this.#options.preemptionPolicy.chooseVictim(this.#running);
      plan.takeBack(victim);
      plan.preempted.push(victim);
      this.preempt(victim, nowMs);
      if (victim === sequence) return;
    }
    plan.give(sequence, numTokens);
  }

  /** Takes a running sequence's blocks and puts it back into the queue. */
  preempt(victim: Sequence, nowMs: number): void {
    this.#kvCache.free(victim.id);
    this.#running.remove(victim);
    victim.status = 'preempted';
    victim.numComputedTokens = 0;
    victim.numPreemptions++;
    this.#waiting.push(victim);
    this.#events.add('preempted', victim, nowMs);
  }

  /** In queue order up to the first that does not fit, so that a large request is not overtaken for ever by small ones.
   * Only a fork whose parent is not ready is passed over: it waits for the parent, not for room. */
  #admit(plan: StepPlan, nowMs: number): void {
    let index = 0;
    while (plan.tokensLeft > 0 && this.#running.size < this.#options.maxNumSeqs) {
      const sequence = this.#waiting.at(index);
      if (sequence === undefined) return;
      if (!isForkReady(sequence)) {
        index++;
        continue;
      }
      if (!this.#start(sequence, plan)) return;
      this.#waiting.remove(sequence);
      this.#running.push(sequence);
      sequence.status = 'running';
      this.#events.add(sequence.hasStarted ? 'resumed' : 'started', sequence, nowMs);
      sequence.hasStarted = true;
    }
  }

  /** Gives a waiting sequence its first tokens, from a fork or after its cached prefix. False: no room now. */
  #start(sequence: Sequence, plan: StepPlan): boolean {
    const isFork = this.#fork(sequence);
    const prefix = isFork || !sequence.readsPrefixCache ? undefined : this.#kvCache.getComputedBlocks(sequence);
    const numComputed = isFork
      ? sequence.numForkTokens
      : (prefix?.blockIds.length ?? 0) * this.#kvCache.geometry.blockSize;
    sequence.numComputedTokens = numComputed;
    const numTokens = Math.min(numMissing(sequence), this.#options.maxPrefillChunk, plan.tokensLeft);
    const keepFree = this.#numBlocksToKeepFree(sequence, numTokens, plan);
    if (this.#kvCache.allocateSlots(sequence, numTokens, { ...(prefix && { prefix }), keepFree }) === undefined) {
      this.#kvCache.free(sequence.id);
      sequence.numComputedTokens = 0;
      return false;
    }
    if (!sequence.hasStarted) sequence.numCachedTokens = numComputed;
    sequence.forkOf = undefined;
    plan.give(sequence, numTokens);
    return true;
  }

  #fork(sequence: Sequence): boolean {
    const parent = sequence.forkOf;
    if (parent?.status !== 'running' || sequence.numForkTokens === 0 || !sequence.readsPrefixCache) return false;
    return this.#kvCache.fork(parent, sequence, sequence.numForkTokens) === true;
  }

  /** What admission must leave free: the watermark, the rest of the newcomer, and the rest of whoever is still in the
   * middle of its prompt. Without it, two long prompts that fit one by one would be admitted together and preempt each
   * other. A sequence that would run alone always fits: `add` has seen to that. */
  #numBlocksToKeepFree(newcomer: Sequence, numTokens: number, plan: StepPlan): number {
    if (this.#running.size === 0) return 0;
    const { geometry, watermarkBlocks } = this.#kvCache;
    const { maxPrefillChunk } = this.#options;
    let count = watermarkBlocks;
    for (const sequence of this.#running) {
      if (numMissing(sequence) <= (plan.numTokens.get(sequence) ?? 0)) continue;
      const wanted = geometry.maxHeldBlocks(sequence.numTokens, maxPrefillChunk);
      count += Math.max(0, wanted - this.#kvCache.numHeldBlocks(sequence.id));
    }
    if (numMissing(newcomer) > numTokens) {
      const numComputed = newcomer.numComputedTokens;
      const held = geometry.numBlocks(numComputed + numTokens) - geometry.numBlocksBehindWindow(numComputed);
      count += Math.max(0, geometry.maxHeldBlocks(newcomer.numTokens, maxPrefillChunk) - held);
    }
    return count;
  }
}

function numMissing(sequence: Sequence): number {
  return sequence.numTokens - sequence.numComputedTokens;
}

function isForkReady(sequence: Sequence): boolean {
  const parent = sequence.forkOf;
  return parent === undefined || parent.isFinished || parent.numComputedTokens >= sequence.numForkTokens;
}
