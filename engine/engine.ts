/** The engine a service embeds: one loaded model that many requests share.
 *
 *   const engine = await Engine.load('model.gguf');
 *   for await (const { text } of engine.generate('Once upon a time', { max_tokens: 50 })) process.stdout.write(text);
 *   await engine.close();
 *
 * Turns prompts into sequences and results into answers; scheduling and computing are the core's business. */
import { type ChatMessage, ConversationRenderer } from './chat/index.ts';
import { EngineCore } from './engine-core.ts';
import { type EngineOptions, resolveEngineOptions } from './engine-options.ts';
import { type EngineStats, summarizeStats } from './engine-stats.ts';
import { AbortError, ContextLengthError, EngineClosedError, InvalidArgumentError } from './errors.ts';
import { closeLoaded, type LoadedEngine, loadEngine } from './load-engine.ts';
import type { ModelConfig } from './model/model-config.ts';
import type { PromptCacheHost } from './prompt-cache/prompt-cache-host.ts';
import {
  type RestoredPromptCache,
  type RestorePromptCacheOptions,
  restorePromptCache,
} from './prompt-cache/restore-prompt-cache.ts';
import {
  type SavedPromptCache,
  type SavePromptCacheOptions,
  savePromptCache,
} from './prompt-cache/save-prompt-cache.ts';
import { createChoices } from './requests/create-choices.ts';
import {
  type ChatOptions,
  type GenerateOptions,
  splitGenerateOptions,
  withStops,
} from './requests/generate-options.ts';
import { GenerationStream } from './requests/generation-stream.ts';
import {
  type Embedding,
  type EmbedOptions,
  PromptService,
  type Score,
  type ScoreOptions,
} from './requests/prompt-service.ts';
import { Candidates } from './sampling/candidates.ts';
import { randomSeed } from './sampling/random-seed.ts';
import { resolveSamplingParams, type SamplingParams } from './sampling/sampling-params.ts';
import { fcfsOrder, priorityOrder } from './scheduler/request-queue.ts';
import { Sequence } from './scheduler/sequence.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer/index.ts';
import { systemClock, type TimerClock } from './util/clock.ts';

/** A prompt as text, or as token ids that are used as they are. */
export type Prompt = string | ArrayLike<number>;

export class Engine implements AsyncDisposable {
  /** Positions a sequence may reach, in tokens. */
  readonly maxModelLen: number;
  readonly #loaded: LoadedEngine;
  readonly #core: EngineCore;
  readonly #clock: TimerClock;
  readonly #candidates: Candidates;
  readonly #promptService: PromptService;
  /** Made when the first conversation comes: a model whose template cannot be used can still generate. */
  #conversations: ConversationRenderer | undefined;
  #nextSequenceId = 1;
  #closing: Promise<void> | undefined;

  private constructor(loaded: LoadedEngine, options: EngineOptions) {
    const { model, maxModelLen, executor, kvCache } = loaded;
    this.maxModelLen = maxModelLen;
    this.#loaded = loaded;
    this.#clock = options.clock ?? systemClock;
    this.#candidates = new Candidates(model.config.vocabSize);
    this.#core = new EngineCore({
      config: model.config,
      executor,
      kvCache,
      clock: this.#clock,
      schedulerOptions: {
        ...resolveEngineOptions(options),
        ...(options.maxNumQueuedRequests === undefined ? {} : { maxNumQueuedRequests: options.maxNumQueuedRequests }),
        ...(options.maxNumQueuedTokens === undefined ? {} : { maxNumQueuedTokens: options.maxNumQueuedTokens }),
        order: options.schedulingPolicy === 'priority' ? priorityOrder(options.priorityAgeingMs ?? 1000) : fcfsOrder,
      },
      onSequenceEvent: options.onSequenceEvent,
    });
    this.#promptService = new PromptService({
      core: this.#core,
      clock: this.#clock,
      hiddenSize: model.config.hiddenSize,
      maxBatchSize: options.maxBatchSize,
      maxWaitMs: options.maxWaitMs,
      newSequenceId: () => this.#nextSequenceId++,
    });
  }

  /** Loads a model: a GGUF file (or any shard of one), or a Hugging Face folder with safetensors.
   * @throws FileAccessError, FormatError, UnsupportedError, InvalidArgumentError for an option, OutOfMemoryError */
  static async load(path: string, options: EngineOptions = {}): Promise<Engine> {
    const loaded = await loadEngine(path, options);
    try {
      return new Engine(loaded, options);
    } catch (error) {
      // An option that only the scheduler knows how to check.
      await closeLoaded(loaded);
      throw error;
    }
  }

  get config(): ModelConfig {
    return this.#loaded.model.config;
  }

  get tokenizer(): Tokenizer {
    return this.#loaded.model.tokenizer;
  }

  /** Text to token ids, with the model's own tokens around it unless `addSpecial` is false. */
  tokenize(text: string, options: EncodeOptions = {}): Int32Array {
    return this.tokenizer.encode(text, { addSpecial: true, ...options });
  }

  /** Token ids to text, without special tokens. */
  detokenize(tokenIds: Iterable<number>): string {
    return this.tokenizer.decode(tokenIds, { skipSpecial: true });
  }

  /** Continues a prompt. The request starts at once; read it or not.
   * The stream fails with QueueFullError, ContextLengthError, RequestTimeoutError, AbortError, WorkerCrashedError,
   * NonFiniteLogitsError or EngineClosedError.
   * @throws InvalidArgumentError for an option or a prompt that can never be valid */
  generate(prompt: Prompt, options: GenerateOptions = {}): GenerationStream {
    const { request, encoding, sampling } = splitGenerateOptions(options);
    const { signal, ...scheduling } = request;
    const params = resolveSamplingParams(sampling);
    const promptTokenIds = this.#encodePrompt(prompt, encoding);
    const sequences: Sequence[] = [];
    const stream = new GenerationStream(() => this.#core.abort(sequences));
    try {
      if (this.#closing !== undefined) throw new EngineClosedError();
      if (signal?.aborted) throw new AbortError(signal.reason);
      this.#checkLength(promptTokenIds.length, params);
      const maxNewTokens = Math.min(params.maxTokens, this.maxModelLen - promptTokenIds.length);
      for (let index = 0; index < params.n; index++) {
        const forkOf = sequences[0];
        sequences.push(
          new Sequence({ id: this.#nextSequenceId++, promptTokenIds, maxNewTokens, forkOf, ...scheduling }),
        );
      }
      const choices = createChoices(sequences, {
        model: this.#loaded.model,
        stream,
        params,
        seed: params.seed ?? randomSeed(),
        candidates: this.#candidates,
        clock: this.#clock,
        maxModelLen: this.maxModelLen,
        isContinuation: typeof prompt !== 'string' || prompt !== '',
        abort: (others) => this.#core.abort(others),
      });
      this.#core.submit(choices);
      if (signal !== undefined) this.#abortBySignal(signal, stream, sequences);
    } catch (error) {
      if (error instanceof InvalidArgumentError) throw error;
      stream.fail(error);
    }
    return stream;
  }

  /** Answers a conversation, written the way the model's own template says (see docs/chat.md). Nothing that a message holds
   * is read as a special token.
   * The stream fails as that of `generate`.
   * @throws InvalidArgumentError for messages or options, UnsupportedError for a template that cannot be used */
  chat(messages: readonly ChatMessage[], options: ChatOptions = {}): GenerationStream {
    const { tools, documents, addGenerationPrompt, variables, ...generation } = options;
    const rendering = {
      ...(tools === undefined ? {} : { tools }),
      ...(documents === undefined ? {} : { documents }),
      ...(addGenerationPrompt === undefined ? {} : { addGenerationPrompt }),
      ...(variables === undefined ? {} : { variables }),
    };
    this.#conversations ??= new ConversationRenderer(this.tokenizer);
    const { promptTokenIds, stop } = this.#conversations.render(messages, rendering);
    return this.generate(promptTokenIds, { ...generation, stop: withStops(generation.stop, stop) });
  }

  /** Log-probability of every token of a text, given those before it; the first has none.
   * @throws ContextLengthError, QueueFullError, AbortError, WorkerCrashedError, EngineClosedError, InvalidArgumentError */
  async score(text: Prompt, options: ScoreOptions = {}): Promise<Score> {
    const tokenIds = this.#encodePrompt(text, { addSpecial: true, parseSpecial: false });
    this.#checkFits(tokenIds.length);
    return this.#promptService.score(tokenIds, options);
  }

  /** One vector for a whole text.
   * @throws ContextLengthError, QueueFullError, AbortError, WorkerCrashedError, EngineClosedError, InvalidArgumentError */
  async embed(text: Prompt, options: EmbedOptions = {}): Promise<Embedding> {
    const tokenIds = this.#encodePrompt(text, { addSpecial: true, parseSpecial: false });
    this.#checkFits(tokenIds.length);
    return this.#promptService.embed(tokenIds, options);
  }

  /** Writes the keys and values of cached prompt beginnings to a file, most recently used first. Prompts can be read from
   * the file: guard it as you guard them.
   * @throws FileAccessError, InvalidArgumentError without prefix caching, EngineClosedError */
  async savePromptCache(path: string, options: SavePromptCacheOptions = {}): Promise<SavedPromptCache> {
    return savePromptCache(this.#promptCacheHost(), path, options);
  }

  /** Takes in what `savePromptCache` wrote, for the same model and cache options. A file that is damaged or foreign is
   * refused as a whole, with a reason; prompts are then computed as if there were none.
   * @throws InvalidArgumentError without prefix caching, EngineClosedError */
  async restorePromptCache(path: string, options: RestorePromptCacheOptions = {}): Promise<RestoredPromptCache> {
    return restorePromptCache(this.#promptCacheHost(), path, options);
  }

  stats(): EngineStats {
    const { model, executor } = this.#loaded;
    return summarizeStats(this.#core.stats(), { backend: model.backend, numThreads: executor.numThreads });
  }

  /** Ends every request with an EngineClosedError, waits for the step in flight, and gives all memory back. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      // Before the first request fails: whoever hears of that may call `close` again.
      this.#closing = promise;
      this.#close().then(resolve, reject);
    }
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#promptService.close();
    await this.#core.close();
    await closeLoaded(this.#loaded);
  }

  #promptCacheHost(): PromptCacheHost {
    if (this.#closing !== undefined) throw new EngineClosedError();
    const { model, kvCache, memory } = this.#loaded;
    return {
      kvCache,
      backend: model.backend,
      layers: memory.memory.kvCache,
      modelFingerprint: model.fingerprint,
      betweenSteps: (task) => this.#core.betweenSteps(task),
    };
  }

  #encodePrompt(prompt: Prompt, encoding: { parseSpecial: boolean; addSpecial: boolean }): ArrayLike<number> {
    if (typeof prompt !== 'string' && typeof prompt?.length !== 'number') {
      throw new InvalidArgumentError('prompt', `must be a string or a list of token ids, got ${typeof prompt}`);
    }
    const ids = typeof prompt === 'string' ? this.tokenizer.encode(prompt, encoding) : prompt;
    const { vocabSize } = this.config;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
        throw new InvalidArgumentError(
          'prompt',
          `token ${id} at place ${i} is not a token id from 0 to ${vocabSize - 1}`,
        );
      }
    }
    if (ids.length === 0) {
      throw new InvalidArgumentError('prompt', 'has no tokens; this model needs at least one to start from');
    }
    return ids;
  }

  /** @throws ContextLengthError: nothing is ever cut silently */
  #checkLength(numPromptTokens: number, { maxTokens }: SamplingParams): void {
    this.#checkFits(numPromptTokens + 1);
    if (Number.isFinite(maxTokens) && numPromptTokens + maxTokens > this.maxModelLen) {
      const advice = `the prompt has ${numPromptTokens} and max_tokens is ${maxTokens}; lower one of them`;
      throw new ContextLengthError(numPromptTokens + maxTokens, this.maxModelLen, advice);
    }
  }

  #checkFits(numTokens: number): void {
    if (numTokens <= this.maxModelLen) return;
    throw new ContextLengthError(numTokens, this.maxModelLen, 'shorten the prompt, or load with a larger maxModelLen');
  }

  #abortBySignal(signal: AbortSignal, stream: GenerationStream, sequences: readonly Sequence[]): void {
    const onAbort = (): void => this.#core.abort(sequences, signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    // Whoever was told that the request is queued may have aborted it already.
    if (signal.aborted) onAbort();
    const stopListening = (): void => signal.removeEventListener('abort', onAbort);
    stream.result.then(stopListening, stopListening);
  }
}
