/** The real engine with its bonnet open: everything is what `Engine.load` puts together, but steps pass through an
 * executor that notes the logits of every row that samples, can be stopped in the middle of a step, and knows the
 * worker threads. */
import { createHash } from 'node:crypto';
import { Engine, type Prompt } from '../../engine/engine.ts';
import { type EngineOptions, resolveEngineOptions } from '../../engine/engine-options.ts';
import type { DeviceLostError } from '../../engine/errors.ts';
import { probeBackends } from '../../engine/kernels/backend-registry.ts';
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import type { KvCacheManager } from '../../engine/kvcache/kv-cache-manager.ts';
import { bytesPerKvBlock } from '../../engine/kvcache/kv-cache-storage.ts';
import { type LoadedEngine, loadEngine } from '../../engine/load-engine.ts';
import type { ForwardBatch, StepResult } from '../../engine/model/forward-batch.ts';
import type { GenerateOptions } from '../../engine/requests/generate-options.ts';
import type { GenerationStream } from '../../engine/requests/generation-stream.ts';
import type { Executor } from '../../engine/runner/executor.ts';
import { WorkerPoolExecutor } from '../../engine/runner/worker-pool-executor.ts';
import type { Sequence } from '../../engine/scheduler/sequence.ts';
import type { SequenceEvent } from '../../engine/scheduler/sequence-events.ts';

/** Backends that compute on this machine's cores and run here, the preferred one first. */
export async function cpuBackends(): Promise<string[]> {
  const probed = await probeBackends();
  return probed.filter(({ name, available }) => available && CPU_BACKENDS.includes(name)).map(({ name }) => name);
}

const CPU_BACKENDS = ['wasm', 'reference'];

export interface HarnessOptions extends EngineOptions {
  /** KV blocks in the pool, the null block included, in place of `kvCacheBytes`. */
  readonly numBlocks?: number;
}

/** One request's sequences, one per choice, as the engine made them. */
export interface Submitted {
  readonly stream: GenerationStream;
  readonly sequences: readonly Sequence[];
}

/** Called when a step has been planned and is about to be computed. What it returns is awaited. */
export type StepHook = (batch: ForwardBatch, stepIndex: number) => void | Promise<void>;

export class EngineHarness {
  readonly engine: Engine;
  /** Every event so far. */
  readonly events: { readonly event: SequenceEvent; readonly sequence: Sequence }[];
  readonly #loaded: LoadedEngine;
  readonly #recorder: RecordingExecutor;

  private constructor(
    engine: Engine,
    loaded: LoadedEngine,
    parts: { recorder: RecordingExecutor; events: EngineHarness['events'] },
  ) {
    this.engine = engine;
    this.#loaded = loaded;
    this.#recorder = parts.recorder;
    this.events = parts.events;
  }

  static async load(path: string, options: HarnessOptions = {}): Promise<EngineHarness> {
    const { numBlocks, ...rest } = options;
    const engineOptions = { backend: 'reference', numThreads: 0, ...rest };
    const events: EngineHarness['events'] = [];
    const sized = await withNumBlocks(path, engineOptions, numBlocks);
    const loaded = await loadEngine(path, resolveEngineOptions(sized));
    const recorder = new RecordingExecutor(loaded);
    // The constructor is private to TypeScript only; a service has no business with it.
    const engine: Engine = Reflect.construct(Engine, [
      { ...loaded, executor: recorder },
      resolveEngineOptions({
        ...engineOptions,
        onSequenceEvent: (event: SequenceEvent, sequence: Sequence, atMs: number) => {
          events.push({ event, sequence });
          recorder.onEvent(event, sequence);
          options.onSequenceEvent?.(event, sequence, atMs);
        },
      }),
    ]);
    return new EngineHarness(engine, loaded, { recorder, events });
  }

  get backend(): KernelBackend {
    return this.#loaded.model.backend;
  }

  get kvCache(): KvCacheManager {
    return this.#loaded.kvCache;
  }

  /** The threads that compute: empty when the caller's does. */
  get workers(): WorkerPoolExecutor['workers'] {
    const { executor } = this.#loaded;
    return executor instanceof WorkerPoolExecutor ? executor.workers : [];
  }

  /** The steps' sizes in tokens, in order. */
  get stepSizes(): readonly number[] {
    return this.#recorder.stepSizes;
  }

  /** Sequences in the largest step. */
  get maxSeqsInStep(): number {
    return this.#recorder.maxNumSeqs;
  }

  set onStep(hook: StepHook | undefined) {
    this.#recorder.hook = hook;
  }

  /** Called when rows are about to be sampled whole by workers. */
  set onSampleRows(hook: (() => void) | undefined) {
    this.#recorder.sampleHook = hook;
  }

  generate(prompt: Prompt, options: GenerateOptions = {}): Submitted {
    const numEvents = this.events.length;
    const stream = this.engine.generate(prompt, options);
    // 'queued' is told at once.
    const queued = this.events.slice(numEvents).filter(({ event }) => event === 'queued');
    return { stream, sequences: queued.map(({ sequence }) => sequence) };
  }

  /** Digests of the bits of the logits that a sequence's tokens were sampled from, in order. */
  logitsOf(sequence: Sequence): readonly string[] {
    return this.#recorder.logitsOf(sequence.id);
  }

  /** What is wrong once nothing runs any more, `undefined` when all is well: no block held, none counted wrongly. */
  findLeak(): string | undefined {
    const { used, free, numUsableBlocks } = this.kvCache.stats();
    const { numQueued, numRunning } = this.engine.stats();
    if (numQueued + numRunning > 0) return `${numQueued} sequences wait and ${numRunning} run`;
    if (used !== 0 || free !== numUsableBlocks) return `${used} of ${numUsableBlocks} blocks are in use, ${free} free`;
    return this.kvCache.findInconsistency();
  }

  /** Closes the engine and says whether everything was given back. */
  async close(): Promise<string | undefined> {
    await this.engine.close();
    const { weights, kv, scratch } = this.backend.memoryUsage();
    if (weights + kv + scratch > 0) return `${weights} bytes of weights, ${kv} of KV, ${scratch} of scratch are left`;
    if (this.workers.length > 0) return `${this.workers.length} threads are left`;
    return this.findLeak();
  }
}

/** Resolves when the next step is about to be computed, and holds it there until `release` is called. */
export function holdNextStep(harness: EngineHarness): {
  readonly reached: Promise<void>;
  readonly release: () => void;
} {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  harness.onStep = () => {
    harness.onStep = undefined;
    reached.resolve();
    return released.promise;
  };
  return { reached: reached.promise, release: released.resolve };
}

/** `kvCacheBytes` for so many blocks. The model is loaded to learn how large one is. */
async function withNumBlocks(
  path: string,
  options: EngineOptions,
  numBlocks: number | undefined,
): Promise<EngineOptions> {
  if (numBlocks === undefined) return options;
  const probe = await loadEngine(path, resolveEngineOptions({ ...options, numThreads: 0 }));
  const { numLayers, numKvHeads, headDim } = probe.model.config;
  const { kvDtype: dtype, blockSize } = probe.memory.options;
  await probe.model.backend.close();
  return {
    ...options,
    kvCacheBytes: numBlocks * bytesPerKvBlock({ dtype, numLayers, numKvHeads, blockSize, headDim }),
  };
}

class RecordingExecutor implements Executor {
  readonly numThreads: number;
  readonly stepSizes: number[] = [];
  maxNumSeqs = 0;
  hook: StepHook | undefined;
  sampleHook: (() => void) | undefined;
  readonly #loaded: LoadedEngine;
  /** Sequences that run, by id. */
  readonly #running = new Map<number, Sequence>();
  readonly #digests = new Map<number, string[]>();

  constructor(loaded: LoadedEngine) {
    this.#loaded = loaded;
    this.numThreads = loaded.executor.numThreads;
  }

  get summarySupport(): Executor['summarySupport'] {
    return this.#loaded.executor.summarySupport;
  }

  get deviceLoss(): DeviceLostError | undefined {
    return this.#loaded.executor.deviceLoss;
  }

  start(): Promise<void> {
    return this.#loaded.executor.start();
  }

  close(): Promise<void> {
    return this.#loaded.executor.close();
  }

  onEvent(event: SequenceEvent, sequence: Sequence): void {
    if (event === 'started' || event === 'resumed') this.#running.set(sequence.id, sequence);
    else if (sequence.status !== 'running') this.#running.delete(sequence.id);
  }

  get sampleRows(): Executor['sampleRows'] {
    const { executor } = this.#loaded;
    if (executor.sampleRows === undefined) return undefined;
    return (jobs) => {
      const sampling = executor.sampleRows!(jobs);
      this.sampleHook?.();
      return sampling;
    };
  }

  async execute(batch: ForwardBatch): Promise<StepResult> {
    this.stepSizes.push(batch.numTokens);
    this.maxNumSeqs = Math.max(this.maxNumSeqs, batch.numSeqs);
    // Now, as an abort during the step takes the blocks away.
    const owners = Array.from(batch.logitRows, (place) => this.#ownerOf(batch, batch.outputRows[place]!));
    await this.hook?.(batch, this.stepSizes.length);
    const result = await this.#loaded.executor.execute(batch);
    const { vocabSize } = this.#loaded.model.config;
    for (const [i, { sequence, generatedIndex }] of owners.entries()) {
      const row = result.seesLogits
        ? result.logits.subarray(i * vocabSize, (i + 1) * vocabSize)
        : await result.fetchLogits(i);
      const digests = this.#digests.get(sequence.id) ?? [];
      this.#digests.set(sequence.id, digests);
      digests[generatedIndex] = digestOf(row);
    }
    return result;
  }

  logitsOf(sequenceId: number): readonly string[] {
    return this.#digests.get(sequenceId) ?? [];
  }

  /** Whose row it is: a block that is written to belongs to one sequence only. */
  #ownerOf(batch: ForwardBatch, row: number): { sequence: Sequence; generatedIndex: number } {
    const { blockSize } = this.#loaded.memory.options;
    const blockId = Math.floor(batch.slotMapping[row]! / blockSize);
    const position = batch.positions[row]!;
    for (const sequence of this.#running.values()) {
      const table = this.#loaded.kvCache.blockTable(sequence.id);
      if (table[Math.floor(position / blockSize)] !== blockId) continue;
      return { sequence, generatedIndex: position + 1 - sequence.numPromptTokens };
    }
    throw new Error(`row ${row} writes to block ${blockId}, which no running sequence owns`);
  }
}

function digestOf({ buffer, byteOffset, byteLength }: Float32Array): string {
  return createHash('sha1')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('base64');
}
