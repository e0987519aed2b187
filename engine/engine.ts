/** The engine a service embeds: one loaded model that many requests share.
 *
 *   const engine = await Engine.load('model.gguf');
 *   for await (const { text } of engine.generate('Once upon a time', { max_tokens: 50 })) process.stdout.write(text);
 *   await engine.close();
 *
 * Turns prompts into sequences and results into answers; scheduling and computing are the core's business. */
import { type ChatMessage, ConversationRenderer } from './chat/index.ts';
import { EngineCore } from './engine-core.ts';
import { type EngineOptions, type ResolvedEngineOptions, resolveEngineOptions } from './engine-options.ts';
import { type EngineStats, summarizeStats } from './engine-stats.ts';
import { AbortError, EngineClosedError, InvalidArgumentError } from './errors.ts';
import { closeLoaded, type LoadedEngine, loadEngine, reloadEngine } from './load-engine.ts';
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
  readChatOptions,
  readGenerateOptions,
} from './requests/generate-options.ts';
import { GenerationStream } from './requests/generation-stream.ts';
import {
  type Embedding,
  type EmbedOptions,
  PromptService,
  readEmbedOptions,
  readScoreOptions,
  type Score,
  type ScoreOptions,
} from './requests/prompt-service.ts';
import { checkRoom, encodePrompt, type Prompt, type PromptEncoding } from './requests/prompt-tokens.ts';
import type { RequestSettings } from './requests/request-options.ts';
import type { Executor } from './runner/executor.ts';
import { Candidates } from './sampling/candidates.ts';
import { randomSeed } from './sampling/random-seed.ts';
import type { SamplingParams } from './sampling/sampling-params.ts';
import { fcfsOrder, priorityOrder } from './scheduler/request-queue.ts';
import { Sequence } from './scheduler/sequence.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer/index.ts';
import type { TimerClock } from './util/clock.ts';
import { describe } from './util/option-reader.ts';

export type { Prompt };

/** For texts that are read and not continued. */
const WHOLE_TEXT: PromptEncoding = { addSpecial: true, parseSpecial: false };

export class Engine implements AsyncDisposable {
  /** Positions a sequence may reach, in tokens. */
  readonly maxModelLen: number;
  /** Another one after a lost device. */
  #loaded: LoadedEngine;
  readonly #core: EngineCore;
  readonly #clock: TimerClock;
  readonly #candidates: Candidates;
  readonly #promptService: PromptService;
  /** Made when the first conversation comes: a model whose template cannot be used can still generate. */
  #conversations: ConversationRenderer | undefined;
  #nextSequenceId = 1;
  #closing: Promise<void> | undefined;
  #numDeviceLosses = 0;
  /** Stops a reload. */
  readonly #closed = new AbortController();

  private constructor(loaded: LoadedEngine, options: ResolvedEngineOptions) {
    const { model, maxModelLen, executor, kvCache } = loaded;
    const { clock, schedulingPolicy, priorityAgeingMs, onSequenceEvent } = options;
    this.maxModelLen = maxModelLen;
    this.#loaded = loaded;
    this.#clock = clock;
    this.#candidates = new Candidates(model.config.vocabSize);
    const order = schedulingPolicy === 'priority' ? priorityOrder(priorityAgeingMs) : fcfsOrder;
    const schedulerOptions = { ...options, order };
    this.#core = new EngineCore({
      config: model.config,
      executor,
      recovery: {
        restartsSequences: options.onDeviceLoss === 'cpu',
        newExecutor: () => this.#reload(options),
      },
      kvCache,
      clock,
      schedulerOptions,
      onSequenceEvent,
    });
    this.#promptService = new PromptService({
      core: this.#core,
      clock,
      hiddenSize: model.config.hiddenSize,
      batching: options,
      newSequenceId: () => this.#nextSequenceId++,
    });
  }

  /** Loads a model: a GGUF file (or any shard of one), or a Hugging Face folder with safetensors.
   * @throws FileAccessError, FormatError, UnsupportedError, InvalidArgumentError for an option, OutOfMemoryError,
   *   AbortError */
  static async load(path: string, options: EngineOptions = {}): Promise<Engine> {
    const resolved = resolveEngineOptions(options);
    const loaded = await loadEngine(path, resolved);
    try {
      return new Engine(loaded, resolved);
    } catch (error) {
      // No option can do this any more, but want of memory can.
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

  /** Token ids to text, without special tokens.
   * @throws InvalidArgumentError for what is no list of token ids */
  detokenize(tokenIds: Iterable<number>): string {
    if (typeof Object(tokenIds)[Symbol.iterator] !== 'function') {
      throw new InvalidArgumentError('tokenIds', `must be token ids, got ${describe(tokenIds)}`);
    }
    return this.tokenizer.decode(tokenIds, { skipSpecial: true });
  }

  /** Continues a prompt. The request starts at once; read it or not.
   * The stream fails with QueueFullError, ContextLengthError, RequestTimeoutError, AbortError, WorkerCrashedError,
   * DeviceLostError, NonFiniteLogitsError or EngineClosedError.
   * @throws InvalidArgumentError for an option or a prompt that can never be valid */
  generate(prompt: Prompt, options: GenerateOptions = {}): GenerationStream {
    const { settings, encoding, params } = readGenerateOptions(options);
    const isContinuation = typeof prompt !== 'string' || prompt !== '';
    return this.#start(() => this.#encode(prompt, encoding), { settings, params, isContinuation });
  }

  /** Answers a conversation, written the way the model's own template says (see docs/chat.md). Nothing that a message holds
   * is read as a special token.
   * The stream fails as that of `generate`.
   * @throws InvalidArgumentError for messages or options, UnsupportedError for a template that cannot be used */
  chat(messages: readonly ChatMessage[], options: ChatOptions = {}): GenerationStream {
    const { settings, rendering, params } = readChatOptions(options);
    this.#conversations ??= new ConversationRenderer(this.tokenizer);
    const { promptTokenIds, stop } = this.#conversations.render(messages, rendering);
    return this.#start(() => this.#encode(promptTokenIds, WHOLE_TEXT), {
      settings,
      params: { ...params, stop: [...params.stop, ...stop] },
      isContinuation: true,
    });
  }

  /** Log-probability of every token of a text, given those before it; the first has none. The text may have one token more
   * than `maxModelLen`, as nothing is predicted from the last.
   * @throws ContextLengthError, QueueFullError, RequestTimeoutError, AbortError, WorkerCrashedError, DeviceLostError,
   *   EngineClosedError, InvalidArgumentError */
  async score(text: Prompt, options: ScoreOptions = {}): Promise<Score> {
    const settings = readScoreOptions(options);
    return this.#promptService.score(this.#encode(text, WHOLE_TEXT, this.maxModelLen + 1), settings);
  }

  /** One vector for a whole text.
   * @throws as `score` */
  async embed(text: Prompt, options: EmbedOptions = {}): Promise<Embedding> {
    const settings = readEmbedOptions(options);
    return this.#promptService.embed(this.#encode(text, WHOLE_TEXT), settings);
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
    return summarizeStats(this.#core.stats(), {
      backend: model.backend,
      numThreads: executor.numThreads,
      numCollected: this.#promptService.numCollected,
      numDeviceLosses: this.#numDeviceLosses,
    });
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

  async #reload(options: ResolvedEngineOptions): Promise<Executor> {
    this.#numDeviceLosses++;
    this.#loaded = await reloadEngine(this.#loaded, options, this.#closed.signal);
    const { backend } = this.#loaded.model;
    process.emitWarning(`the GPU was lost; the model was loaded again on ${backend.name}`, 'QuernWarning');
    return this.#loaded.executor;
  }

  async #close(): Promise<void> {
    this.#closed.abort();
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

  #encode(prompt: Prompt, encoding: PromptEncoding, maxNumTokens = this.maxModelLen): Int32Array {
    const { tokenizer, config } = this.#loaded.model;
    return encodePrompt(prompt, encoding, { tokenizer, vocabSize: config.vocabSize, maxNumTokens });
  }

  /** What can never be valid is thrown; all else that can go wrong is the stream's end. */
  #start(encode: () => Int32Array, request: GenerationStart): GenerationStream {
    const sequences: Sequence[] = [];
    const stream = new GenerationStream(() => this.#core.abort(sequences));
    const { signal } = request.settings;
    try {
      const promptTokenIds = encode();
      if (this.#closing !== undefined) throw new EngineClosedError();
      if (signal?.aborted) throw new AbortError(signal.reason);
      this.#submit(promptTokenIds, request, { stream, sequences });
      if (signal !== undefined) this.#abortBySignal(signal, stream, sequences);
    } catch (error) {
      if (error instanceof InvalidArgumentError) throw error;
      stream.fail(error);
    }
    return stream;
  }

  /** Queues a sequence per choice. */
  #submit(
    promptTokenIds: Int32Array,
    { settings, params, isContinuation }: GenerationStart,
    { stream, sequences }: { readonly stream: GenerationStream; readonly sequences: Sequence[] },
  ): void {
    checkRoom(promptTokenIds.length, params.maxTokens, this.maxModelLen);
    const { priority, deadlineMs, cacheSalt } = settings;
    const maxNewTokens = Math.min(params.maxTokens, this.maxModelLen - promptTokenIds.length);
    for (let index = 0; index < params.n; index++) {
      const id = this.#nextSequenceId++;
      const forkOf = sequences[0];
      sequences.push(new Sequence({ id, promptTokenIds, maxNewTokens, forkOf, priority, deadlineMs, cacheSalt }));
    }
    const choices = createChoices(sequences, {
      model: this.#loaded.model,
      stream,
      params,
      seed: params.seed ?? randomSeed(),
      candidates: this.#candidates,
      clock: this.#clock,
      maxModelLen: this.maxModelLen,
      isContinuation,
      abort: (others) => this.#core.abort(others),
    });
    this.#core.submit(choices);
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

/** A request to generate, checked, but for its prompt. */
interface GenerationStart {
  readonly settings: RequestSettings;
  readonly params: SamplingParams;
  /** The generated text goes on where the prompt's text ends. */
  readonly isContinuation: boolean;
}
