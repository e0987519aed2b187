/** The engine a service embeds: one loaded model that many requests share.
 *
 *   const engine = await Engine.load('model.gguf');
 *   for await (const { text } of engine.generate('Once upon a time', { max_tokens: 50 })) process.stdout.write(text);
 *   await engine.close();
 *
 * Owns the scheduler, the memory and the step loop; every piece of work is done by the parts it puts together. */
import { type EngineOptions, resolveEngineOptions, resolveMaxModelLen, resolveNumBlocks } from './engine-options.ts';
import { AbortError, ContextLengthError, EngineClosedError, InvalidArgumentError } from './errors.ts';
import { createBackend } from './kernels/backend-registry.ts';
import type { MemoryUsage } from './kernels/kernel-backend.ts';
import { KvCacheManager } from './kvcache/kv-cache-manager.ts';
import type { KvCacheStats } from './kvcache/kv-cache-options.ts';
import { bytesPerKvBlock } from './kvcache/kv-cache-storage.ts';
import { loadModel } from './loader/load-model.ts';
import type { LoadedModel } from './loader/loaded-model.ts';
import type { ModelConfig } from './model/model-config.ts';
import { Choice } from './requests/choice.ts';
import { type GenerateOptions, splitGenerateOptions } from './requests/generate-options.ts';
import { GenerationRequest } from './requests/generation-request.ts';
import { GenerationStream } from './requests/generation-stream.ts';
import { createExecutor } from './runner/create-executor.ts';
import type { Executor } from './runner/executor.ts';
import { type AllocatedMemory, allocateModelMemory } from './runner/model-memory.ts';
import { Candidates } from './sampling/candidates.ts';
import { randomSeed } from './sampling/random-seed.ts';
import { Sampler } from './sampling/sampler.ts';
import { resolveSamplingParams, type SamplingParams } from './sampling/sampling-params.ts';
import { StopCriteria } from './sampling/stop-criteria.ts';
import { fcfsOrder, priorityOrder } from './scheduler/request-queue.ts';
import { Scheduler, type SchedulerStats } from './scheduler/scheduler.ts';
import { Sequence } from './scheduler/sequence.ts';
import type { SequenceEvent } from './scheduler/sequence-events.ts';
import { StepLoop } from './step-loop.ts';
import type { Tokenizer } from './tokenizer/index.ts';
import { systemClock, type TimerClock } from './util/clock.ts';

/** A prompt as text, or as token ids that are used as they are. */
export type Prompt = string | ArrayLike<number>;

export interface EngineStats {
  /** The backend really in use. */
  readonly backend: string;
  /** Threads that compute; 0 when the caller's does. */
  readonly numThreads: number;
  readonly scheduler: SchedulerStats;
  readonly kvCache: KvCacheStats;
  /** Bytes owned, by purpose. */
  readonly memory: MemoryUsage;
}

interface EngineParts {
  readonly model: LoadedModel;
  readonly options: EngineOptions;
  readonly maxModelLen: number;
  readonly memory: AllocatedMemory;
  readonly executor: Executor;
  readonly kvCache: KvCacheManager;
}

export class Engine implements AsyncDisposable {
  readonly maxModelLen: number;
  readonly #model: LoadedModel;
  readonly #memory: AllocatedMemory;
  readonly #executor: Executor;
  readonly #kvCache: KvCacheManager;
  readonly #scheduler: Scheduler;
  readonly #loop: StepLoop;
  readonly #clock: TimerClock;
  readonly #candidates: Candidates;
  readonly #onSequenceEvent: EngineOptions['onSequenceEvent'];
  /** Unfinished choices by sequence id, each with its request. */
  readonly #choices = new Map<number, { readonly choice: Choice; readonly request: GenerationRequest }>();
  #nextSequenceId = 1;
  #closing: Promise<void> | undefined;

  private constructor(parts: EngineParts) {
    const { model, options, memory, executor, kvCache } = parts;
    this.maxModelLen = parts.maxModelLen;
    this.#model = model;
    this.#memory = memory;
    this.#executor = executor;
    this.#kvCache = kvCache;
    this.#clock = options.clock ?? systemClock;
    this.#onSequenceEvent = options.onSequenceEvent;
    this.#candidates = new Candidates(model.config.vocabSize);
    this.#scheduler = new Scheduler(kvCache, this.#clock, {
      ...resolveEngineOptions(options),
      ...(options.maxNumQueuedRequests === undefined ? {} : { maxNumQueuedRequests: options.maxNumQueuedRequests }),
      ...(options.maxNumQueuedTokens === undefined ? {} : { maxNumQueuedTokens: options.maxNumQueuedTokens }),
      order: options.schedulingPolicy === 'priority' ? priorityOrder(options.priorityAgeingMs ?? 1000) : fcfsOrder,
      stopCheck: (sequence, tokenId) => this.#choices.get(sequence.id)?.choice.acceptToken(tokenId),
      listener: (event, sequence, atMs) => this.#onEvent(event, sequence, atMs),
    });
    this.#loop = new StepLoop({
      scheduler: this.#scheduler,
      executor,
      clock: this.#clock,
      blockSize: kvCache.geometry.blockSize,
      vocabSize: model.config.vocabSize,
      rowsWanted: () => 'last',
      onLogits: (sequenceId, rows) => this.#choices.get(sequenceId)?.choice.sample(rows),
    });
  }

  /** Loads a model: a GGUF file (or any shard of one), or a Hugging Face folder with safetensors.
   * @throws FileAccessError, FormatError, UnsupportedError, InvalidArgumentError for an option, OutOfMemoryError */
  static async load(path: string, options: EngineOptions = {}): Promise<Engine> {
    const resolved = resolveEngineOptions(options);
    const backend = await createBackend(resolved.backend);
    try {
      const { tokenizerPath, onProgress, signal } = options;
      const model = await loadModel(path, backend, { tokenizerPath, onProgress, signal });
      const maxModelLen = resolveMaxModelLen(options, model.config.contextLength);
      const { blockSize, kvDtype, maxNumBatchedTokens, maxNumSeqs, numThreads } = resolved;
      const { numLayers, numKvHeads, headDim, slidingWindow } = model.config;
      const numBlocks = resolveNumBlocks(options, {
        blocksPerSeq: Math.ceil(maxModelLen / blockSize),
        bytesPerBlock: bytesPerKvBlock({ dtype: kvDtype, numLayers, numKvHeads, blockSize, headDim }),
        maxNumSeqs,
      });
      const kvCache = new KvCacheManager({
        numBlocks,
        blockSize,
        modelFingerprint: path,
        slidingWindow,
        enablePrefixCaching: options.enablePrefixCaching ?? true,
      });
      const sizes = { maxModelLen, blockSize, numBlocks, kvDtype, maxNumBatchedTokens, maxNumSeqs };
      const memory = allocateModelMemory(backend, model.config, { ...sizes, maxLogitRows: maxNumSeqs });
      const executor = createExecutor(backend, { ...model, memory: memory.memory }, numThreads);
      return new Engine({ model, options, maxModelLen, memory, executor, kvCache });
    } catch (error) {
      await backend.close();
      throw error;
    }
  }

  get config(): ModelConfig {
    return this.#model.config;
  }

  get tokenizer(): Tokenizer {
    return this.#model.tokenizer;
  }

  /** Continues a prompt. The request starts at once; read it or not.
   * The stream fails with QueueFullError, ContextLengthError, RequestTimeoutError, AbortError, WorkerCrashedError,
   * NonFiniteLogitsError or EngineClosedError.
   * @throws InvalidArgumentError for an option or a prompt that can never be valid */
  generate(prompt: Prompt, options: GenerateOptions = {}): GenerationStream {
    const { request, encoding, sampling } = splitGenerateOptions(options);
    const params = resolveSamplingParams(sampling);
    const promptTokenIds = this.#encodePrompt(prompt, encoding);
    const sequences: Sequence[] = [];
    const stream = new GenerationStream(() => this.#abort(sequences));
    try {
      if (this.#closing !== undefined) throw new EngineClosedError();
      if (request.signal?.aborted) throw new AbortError(request.signal.reason);
      this.#checkLength(promptTokenIds.length, params);
      const maxNewTokens = Math.min(params.maxTokens, this.maxModelLen - promptTokenIds.length);
      for (let index = 0; index < params.n; index++) {
        const forkOf = sequences[0];
        sequences.push(new Sequence({ id: this.#nextSequenceId++, promptTokenIds, maxNewTokens, forkOf, ...request }));
      }
      this.#submit(sequences, { stream, params, continues: typeof prompt !== 'string' || prompt !== '' });
      if (request.signal !== undefined) this.#abortBySignal(request.signal, stream, sequences);
    } catch (error) {
      stream.fail(error);
    }
    return stream;
  }

  stats(): EngineStats {
    return {
      backend: this.#model.backend.name,
      numThreads: this.#executor.numThreads,
      scheduler: this.#scheduler.stats(),
      kvCache: this.#kvCache.stats(),
      memory: this.#model.backend.memoryUsage(),
    };
  }

  /** Ends every request with an EngineClosedError, waits for the step in flight, and gives all memory back. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#scheduler.failAll(new EngineClosedError());
    await this.#loop.close();
    await this.#executor.close();
    this.#memory.free();
    await this.#model.backend.close();
  }

  #encodePrompt(prompt: Prompt, encoding: { parseSpecial: boolean; addSpecial: boolean }): ArrayLike<number> {
    const ids = typeof prompt === 'string' ? this.#model.tokenizer.encode(prompt, encoding) : prompt;
    const { vocabSize } = this.#model.config;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
        throw new InvalidArgumentError('prompt', `token ${id} at place ${i} is not a token id from 0 to ${vocabSize - 1}`);
      }
    }
    if (ids.length === 0) {
      throw new InvalidArgumentError('prompt', 'has no tokens; this model needs at least one to start from');
    }
    return ids;
  }

  /** @throws ContextLengthError: nothing is ever cut silently */
  #checkLength(numPromptTokens: number, { maxTokens }: SamplingParams): void {
    const { maxModelLen } = this;
    if (numPromptTokens >= maxModelLen) {
      throw new ContextLengthError(numPromptTokens, maxModelLen, 'shorten the prompt, or load with a larger maxModelLen');
    }
    if (Number.isFinite(maxTokens) && numPromptTokens + maxTokens > maxModelLen) {
      const advice = `the prompt has ${numPromptTokens} and max_tokens is ${maxTokens}; lower one of them`;
      throw new ContextLengthError(numPromptTokens + maxTokens, maxModelLen, advice);
    }
  }

  #submit(
    sequences: readonly Sequence[],
    info: { readonly stream: GenerationStream; readonly params: SamplingParams; readonly continues: boolean },
  ): void {
    const { tokenizer, config } = this.#model;
    const { stream, params, continues } = info;
    const seed = params.seed ?? randomSeed();
    const eogTokenIds = [...tokenizer.endOfGenerationIds].filter((id) => id < config.vocabSize);
    const choices = sequences.map(
      (sequence, index) =>
        new Choice({
          index,
          sequence,
          sampler: new Sampler({ params, candidates: this.#candidates, seed, completionIndex: index, eogTokenIds }),
          stopCriteria: new StopCriteria({ params, eogTokenIds, maxModelLen: this.maxModelLen }),
          detokenizer: tokenizer.createDetokenizer({ continuation: continues, skipSpecial: true }),
          numTokensWithText: tokenizer.vocabSize,
          push: (chunk) => stream.push(chunk),
        }),
    );
    const request = new GenerationRequest(stream, choices, { clock: this.#clock, seed });
    for (const choice of choices) this.#choices.set(choice.sequence.id, { choice, request });
    try {
      this.#scheduler.addAll(sequences);
    } catch (error) {
      for (const { id } of sequences) this.#choices.delete(id);
      throw error;
    }
    this.#loop.wake();
  }

  #abortBySignal(signal: AbortSignal, stream: GenerationStream, sequences: readonly Sequence[]): void {
    const onAbort = (): void => this.#abort(sequences, signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    const stopListening = (): void => signal.removeEventListener('abort', onAbort);
    stream.result.then(stopListening, stopListening);
  }

  #abort(sequences: readonly Sequence[], reason?: unknown): void {
    for (const { id } of sequences) this.#scheduler.abort(id, reason);
  }

  #onEvent(event: SequenceEvent, sequence: Sequence, atMs: number): void {
    const found = this.#choices.get(sequence.id);
    if (found !== undefined && event === 'firstToken') found.request.noteFirstToken();
    if (found !== undefined && sequence.isFinished) this.#endChoice(found, event, sequence);
    this.#onSequenceEvent?.(event, sequence, atMs);
  }

  #endChoice(
    { choice, request }: { readonly choice: Choice; readonly request: GenerationRequest },
    event: SequenceEvent,
    sequence: Sequence,
  ): void {
    this.#choices.delete(sequence.id);
    if (event === 'finished') {
      request.finishChoice(choice, sequence.finishReason!);
      return;
    }
    // One choice without an answer is a request without one: the others need not go on.
    request.stream.fail(choice.failure);
    this.#abort(request.choices.map((other) => other.sequence));
  }
}
