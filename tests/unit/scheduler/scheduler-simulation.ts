/** Runs a `Scheduler` against the fake model under a script of arrivals, aborts, failures and passing time, and checks
 * in every step what must hold in every step. */
import { NULL_BLOCK_ID } from '../../../engine/kvcache/block-pool.ts';
import { KvCacheManager } from '../../../engine/kvcache/kv-cache-manager.ts';
import { fcfsOrder, priorityOrder, type RequestOrder } from '../../../engine/scheduler/request-queue.ts';
import { Scheduler } from '../../../engine/scheduler/scheduler.ts';
import type { SchedulerOutput } from '../../../engine/scheduler/scheduler-output.ts';
import { Sequence } from '../../../engine/scheduler/sequence.ts';
import type { SequenceEvent } from '../../../engine/scheduler/sequence-events.ts';
import { FakeModel, runAlone } from '../../helpers/fake-model.ts';
import { ManualClock } from './manual-clock.ts';

export const VOCAB_SIZE = 50;
/** Ends a sequence in the simulations. */
export const STOP_TOKEN = 7;

export interface SimulationOptions {
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly slidingWindow: number | undefined;
  readonly enablePrefixCaching: boolean;
  readonly watermark: number;
  readonly maxNumSeqs: number;
  /** Added to `maxNumSeqs`. */
  readonly extraBudget: number;
  readonly maxPrefillChunk: number;
  /** `undefined`: first come, first served. */
  readonly ageingMs: number | undefined;
}

export interface SimulatedRequest {
  readonly prompt: readonly number[];
  readonly maxNewTokens: number;
  readonly priority: number;
  readonly deadlineMs: number | undefined;
  readonly cacheSalt: string;
  readonly readsPrefixCache: boolean;
  /** Choices that share the prompt, 1 for none. */
  readonly n: number;
}

export type SimulationStep =
  | { readonly op: 'add'; readonly request: SimulatedRequest }
  | { readonly op: 'step' }
  /** `midStep`: between `schedule` and `update`. */
  | { readonly op: 'abort' | 'fail'; readonly pick: number; readonly midStep: boolean }
  | { readonly op: 'failStep' }
  /** A step in which a listener aborts every sequence that starts, after it was planned and before it is launched. */
  | { readonly op: 'abortStarting' }
  | { readonly op: 'wait'; readonly ms: number };

function fail(message: string): never {
  throw new Error(message);
}

export class SchedulerSimulation {
  readonly clock = new ManualClock();
  readonly kvCacheManager: KvCacheManager;
  readonly scheduler: Scheduler;
  readonly model: FakeModel;
  readonly sequences: Sequence[] = [];
  readonly events: { readonly event: SequenceEvent; readonly sequence: Sequence }[] = [];
  readonly startedIds: number[] = [];
  readonly #options: SimulationOptions;
  readonly #prompts = new Map<Sequence, readonly number[]>();
  readonly #order: RequestOrder;
  #nextId = 1;
  #abortsStarting = false;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const { numBlocks, blockSize, slidingWindow, maxNumSeqs } = options;
    const maxNumBatchedTokens = maxNumSeqs + options.extraBudget;
    this.#order = options.ageingMs === undefined ? fcfsOrder : priorityOrder(options.ageingMs);
    this.kvCacheManager = new KvCacheManager(options);
    this.model = new FakeModel({ numBlocks, blockSize, slidingWindow, vocabSize: VOCAB_SIZE });
    this.scheduler = new Scheduler(this.kvCacheManager, this.clock, {
      maxNumSeqs,
      maxNumBatchedTokens,
      maxPrefillChunk: Math.min(options.maxPrefillChunk, maxNumBatchedTokens),
      order: this.#order,
      stopCheck: (_, tokenId) => (tokenId === STOP_TOKEN ? 'stop' : undefined),
      listener: (event, sequence) => {
        this.events.push({ event, sequence });
        if (event === 'started') this.startedIds.push(sequence.id);
        if (this.#abortsStarting && (event === 'started' || event === 'resumed')) this.scheduler.abort(sequence.id);
      },
    });
  }

  apply(step: SimulationStep): void {
    if (step.op === 'add') this.add(step.request);
    else if (step.op === 'step') this.step();
    else if (step.op === 'wait') this.clock.advance(step.ms);
    else if (step.op === 'failStep') this.step('fail');
    else if (step.op === 'abortStarting') this.#stepAbortingWhoStarts();
    else if (step.midStep) this.step(() => this.#end(step.op, step.pick));
    else this.#end(step.op, step.pick);
    this.#checkBlocks();
  }

  add(request: SimulatedRequest): Sequence[] {
    const group: Sequence[] = [];
    for (let i = 0; i < request.n; i++) {
      // Choices differ after the prompt only in what they sample; here, in how much they generate.
      const { prompt: promptTokenIds, maxNewTokens, ...rest } = request;
      const forkOf = group[0];
      const options = { ...rest, id: this.#nextId++, promptTokenIds, maxNewTokens: maxNewTokens + i, forkOf };
      group.push(new Sequence(options));
    }
    for (const sequence of group) this.#prompts.set(sequence, request.prompt);
    this.scheduler.addAll(group);
    this.sequences.push(...group);
    return group;
  }

  /** One step: false when there was nothing to do. */
  step(meanwhile?: (() => void) | 'fail'): boolean {
    const numEventsBefore = this.events.length;
    const output = this.scheduler.schedule();
    const events = this.events.slice(numEventsBefore).map(({ event }) => event);
    if (events.includes('preempted') && (events.includes('resumed') || events.includes('started'))) {
      fail('a step that preempts admits somebody');
    }
    if (output === undefined) {
      // Whatever waits must be able to start when nothing runs.
      if (this.scheduler.hasUnfinished && !events.includes('aborted'))
        fail('sequences are unfinished, but nothing is scheduled');
      return false;
    }
    this.#checkOutput(output);
    this.#checkBlocks();
    const sampled = this.model.run(output);
    if (meanwhile === 'fail') {
      this.scheduler.failStep(output, new Error('worker died'));
    } else {
      meanwhile?.();
      this.scheduler.update(output, sampled);
    }
    return true;
  }

  #stepAbortingWhoStarts(): void {
    this.#abortsStarting = true;
    this.step();
    this.#abortsStarting = false;
  }

  /** Steps until all is done. Returns the number of steps. */
  drain(maxSteps = 100_000): number {
    for (let i = 0; i < maxSteps; i++) {
      if (!this.step()) return i;
    }
    return fail(`not done after ${maxSteps} steps`);
  }

  /** All ended, all blocks back, and every token as if the sequence had been alone. */
  checkEnd(): void {
    const { used, free } = this.kvCacheManager.stats();
    if (used !== 0 || free !== this.#options.numBlocks - 1) fail(`${used} blocks are still in use`);
    for (const sequence of this.sequences) {
      if (!sequence.isFinished) fail(`sequence ${sequence.id} has not ended`);
      this.#checkTokens(sequence);
    }
    this.#checkEvents();
  }

  #checkTokens(sequence: Sequence): void {
    const { numGeneratedTokens, numPromptTokens, numTokens, maxNewTokens, finishReason } = sequence;
    const generated = [...sequence.tokenIds.slice(numPromptTokens, numTokens)];
    const alone = runAlone(this.#prompts.get(sequence)!, numGeneratedTokens, {
      ...this.#options,
      vocabSize: VOCAB_SIZE,
    });
    if (generated.join() !== alone.join()) fail(`sequence ${sequence.id} generated ${generated}, alone ${alone}`);
    const stopsAt = alone.indexOf(STOP_TOKEN);
    if (stopsAt !== -1 && stopsAt !== numGeneratedTokens - 1) fail(`sequence ${sequence.id} went on after its end`);
    if (finishReason === 'stop' && stopsAt === -1) fail(`sequence ${sequence.id} stopped early`);
    if (finishReason === 'length' && numGeneratedTokens !== maxNewTokens) fail(`sequence ${sequence.id} is short`);
    const isAnswer = finishReason === 'stop' || finishReason === 'length';
    const hasError = sequence.error !== undefined;
    if (isAnswer === hasError) fail(`sequence ${sequence.id}: ${finishReason} with ${sequence.error}`);
  }

  #end(op: 'abort' | 'fail', pick: number): void {
    const open = this.sequences.filter((sequence) => !sequence.isFinished);
    const sequence = open[pick % Math.max(1, open.length)];
    if (sequence === undefined) return;
    if (op === 'abort') this.scheduler.abort(sequence.id);
    else this.scheduler.failSequences([sequence.id], new Error('failed'));
    if (!sequence.isFinished) fail(`${op} did not end sequence ${sequence.id}`);
  }

  #checkOutput(output: SchedulerOutput): void {
    const { maxNumSeqs, extraBudget, maxPrefillChunk, blockSize, slidingWindow } = this.#options;
    const sum = output.scheduled.reduce((total, { numScheduledTokens }) => total + numScheduledTokens, 0);
    if (sum !== output.numScheduledTokens || sum < 1 || sum > maxNumSeqs + extraBudget) fail(`step of ${sum} tokens`);
    const running = this.sequences.filter(({ status }) => status === 'running');
    if (running.length > maxNumSeqs) fail(`${running.length} sequences run`);
    const given = new Map(output.scheduled.map(({ id, numScheduledTokens }) => [id, numScheduledTokens]));
    for (const { id, numTokens, numComputedTokens } of running) {
      const wanted = Math.min(numTokens - numComputedTokens, maxPrefillChunk);
      const got = given.get(id) ?? 0;
      // (A sequence does not ask again for tokens that a preemption on its own behalf gave back.)
      const isBudgetLeft = sum < maxNumSeqs + extraBudget && output.preemptedIds.length === 0;
      if (got < wanted && isBudgetLeft) fail(`sequence ${id} got ${got} of ${wanted}, with budget left`);
    }
    const scheduledIds = new Set(output.scheduled.map(({ id }) => id));
    if (scheduledIds.size !== output.scheduled.length) fail('a sequence is scheduled twice');
    for (const { id, status, numTokens, numComputedTokens } of this.sequences) {
      // An open stream moves in every step.
      const isStream = status === 'running' && numTokens - numComputedTokens === 1;
      if (isStream && !scheduledIds.has(id)) fail(`sequence ${id} was left out of a step`);
      if ((status === 'waiting' || status === 'preempted') && numComputedTokens !== 0)
        fail(`${id} waits with computed tokens`);
      if (scheduledIds.has(id) && status !== 'running') fail(`sequence ${id} is scheduled while ${status}`);
    }
    for (const { id, numScheduledTokens, numComputedTokens, blockTable, tokenIds } of output.scheduled) {
      if (numScheduledTokens < 1 || numScheduledTokens > maxPrefillChunk) fail(`chunk of ${numScheduledTokens}`);
      if (tokenIds.length !== numScheduledTokens) fail('wrong number of token ids');
      const end = numComputedTokens + numScheduledTokens;
      if (blockTable.length !== Math.ceil(end / blockSize)) fail(`sequence ${id} has ${blockTable.length} blocks`);
      const numNull = blockTable.filter((blockId) => blockId === NULL_BLOCK_ID).length;
      const numUnseen = Math.max(0, numComputedTokens - (slidingWindow ?? Number.POSITIVE_INFINITY) + 1);
      if (numNull !== Math.floor(numUnseen / blockSize)) fail(`sequence ${id} has ${numNull} null blocks`);
    }
    this.#checkOrder(running);
  }

  /** Nobody who runs comes after somebody who was preempted and waits. */
  #checkOrder(running: readonly Sequence[]): void {
    const waiting = this.sequences.filter(({ status }) => status === 'preempted').sort(this.#order)[0];
    if (waiting === undefined) return;
    for (const sequence of running) {
      if (this.#order(waiting, sequence) < 0) fail(`${sequence.id} runs while ${waiting.id}, before it, is preempted`);
    }
  }

  #checkBlocks(): void {
    const problem = this.kvCacheManager.findInconsistency();
    if (problem !== undefined) fail(problem);
  }

  /** Each sequence tells its life in the right order. */
  #checkEvents(): void {
    const lives = new Map<Sequence, SequenceEvent[]>();
    for (const { event, sequence } of this.events) {
      const life = lives.get(sequence);
      if (life === undefined) lives.set(sequence, [event]);
      else life.push(event);
    }
    const displaced = '(preempted resumed )*';
    const end = '(preempted )?(finished|aborted|timedOut|failed) ';
    const grammar = `^queued (started ${displaced}(prefilled (firstToken ${displaced})?)?)?${end}$`;
    for (const sequence of this.sequences) {
      const life = `${(lives.get(sequence) ?? []).join(' ')} `;
      if (!new RegExp(grammar).test(life)) fail(`sequence ${sequence.id}: ${life}`);
      if (life.split('preempted').length - 1 !== sequence.numPreemptions) fail(`preemptions of ${sequence.id}`);
    }
  }
}
