/** One conversation: what was said, and how the next answer comes about. Must not know terminals. */
import { type ChatMessage, ConversationRenderer } from '../../engine/chat/index.ts';
import type { Engine } from '../../engine/engine.ts';
import { ContextLengthError, QuernError } from '../../engine/errors.ts';
import type { GenerationResult } from '../../engine/requests/generation-stream.ts';
import type { SamplingOptions } from '../../engine/sampling/sampling-options.ts';

/** What a session needs of an engine. */
export type ChatEngine = Pick<Engine, 'generate' | 'maxModelLen' | 'tokenizer'>;

export interface ChatSessionOptions {
  readonly sampling: SamplingOptions;
  readonly system?: string | undefined;
  /** Jinja source in place of the model's own. */
  readonly chatTemplate?: string | undefined;
  /** Further names for the template. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
}

export interface AnswerOptions {
  readonly signal?: AbortSignal;
  /** New text, without the blanks that an answer begins with. */
  readonly onText?: (text: string) => Promise<void>;
}

export interface ChatAnswer {
  /** As the model wrote it. */
  readonly text: string;
  /** Absent when the answer was interrupted. */
  readonly result?: GenerationResult;
  /** Tokens that the conversation still has room for. */
  readonly numTokensLeft: number;
}

/** A model that was not trained on conversations does not know when an answer ends. */
const PLAIN_MAX_TOKENS = 128;

export class ChatSession {
  /** False for a model that was not trained on conversations. */
  readonly hasTemplate: boolean;
  system: string | undefined;
  readonly #engine: ChatEngine;
  readonly #options: ChatSessionOptions;
  readonly #renderer: ConversationRenderer;
  #messages: readonly ChatMessage[] = [];
  #numRepeats = 0;

  /** @throws UnsupportedError for a chat template that cannot be parsed */
  constructor(engine: ChatEngine, options: ChatSessionOptions) {
    this.#engine = engine;
    this.#options = options;
    this.#renderer = new ConversationRenderer(engine.tokenizer, { chatTemplate: options.chatTemplate });
    this.hasTemplate = this.#renderer.hasTemplate;
    this.system = options.system;
  }

  /** What was said, the system message first. */
  get messages(): readonly ChatMessage[] {
    return this.#withSystem(this.#messages);
  }

  /** Forgets what was said; the system message stays. */
  reset(): void {
    this.#messages = [];
  }

  /** Asks, and remembers question and answer. An answer that was interrupted is remembered as far as it came; one that had
   * not begun, or failed, leaves the conversation as it was.
   * @throws ContextLengthError when the conversation does not fit, and whatever rendering and generating throw */
  ask(text: string, options: AnswerOptions = {}): Promise<ChatAnswer> {
    this.#numRepeats = 0;
    return this.#answer([...this.#messages, { role: 'user', content: text }], options);
  }

  /** Answers the last question again. With a fixed seed the next one is used, or the answer would be the same.
   * @returns undefined when nothing was asked yet
   * @throws as `ask` */
  async regenerate(options: AnswerOptions = {}): Promise<ChatAnswer | undefined> {
    if (this.#messages.length === 0) return undefined;
    this.#numRepeats++;
    return this.#answer(this.#messages.slice(0, -1), options);
  }

  async #answer(messages: readonly ChatMessage[], { signal, onText }: AnswerOptions): Promise<ChatAnswer> {
    const { variables } = this.#options;
    const rendered = this.#renderer.render(this.#withSystem(messages), variables === undefined ? {} : { variables });
    const numPromptTokens = rendered.promptTokenIds.length;
    const sampling = this.#samplingFor(numPromptTokens, rendered.stop);
    const stream = this.#engine.generate(
      rendered.promptTokenIds,
      signal === undefined ? sampling : { ...sampling, signal },
    );
    let text = '';
    let numTokens = numPromptTokens;
    try {
      for await (const chunk of stream) {
        const shown = text.trim() === '' ? chunk.text.trimStart() : chunk.text;
        text += chunk.text;
        numTokens += chunk.tokenIds.length;
        if (shown !== '') await onText?.(shown);
      }
    } catch (error) {
      const isInterrupted = signal?.aborted === true && QuernError.isInstance(error) && error.code === 'ABORTED';
      if (!isInterrupted) throw error;
    }
    if (text !== '' || signal?.aborted !== true) this.#messages = [...messages, { role: 'assistant', content: text }];
    const answer = { text, numTokensLeft: this.#engine.maxModelLen - numTokens };
    return signal?.aborted === true ? answer : { ...answer, result: await stream.result };
  }

  /** An answer may take what room there is: that it ended for want of room is told with the answer. */
  #samplingFor(numPromptTokens: number, stop: readonly string[]): SamplingOptions {
    const { maxModelLen } = this.#engine;
    const { sampling } = this.#options;
    const room = maxModelLen - numPromptTokens;
    if (room <= 0) {
      throw new ContextLengthError(numPromptTokens, maxModelLen, 'the conversation with this message is too long');
    }
    const maxTokens = sampling.max_tokens ?? (this.hasTemplate ? undefined : PLAIN_MAX_TOKENS);
    const given = sampling.stop ?? [];
    return {
      ...sampling,
      stop: [...(typeof given === 'string' ? [given] : given), ...stop],
      ...(maxTokens === undefined ? {} : { max_tokens: Math.min(maxTokens, room) }),
      ...(sampling.seed == null ? {} : { seed: sampling.seed + this.#numRepeats }),
    };
  }

  #withSystem(messages: readonly ChatMessage[]): readonly ChatMessage[] {
    return this.system === undefined ? messages : [{ role: 'system', content: this.system }, ...messages];
  }
}
