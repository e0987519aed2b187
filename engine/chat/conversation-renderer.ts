/** From messages to a prompt: the model's template (or the plain fallback), then its tokenizer. What `Engine.chat` needs.
 * Must not know how a prompt is run. */
import type { Tokenizer } from '../tokenizer/index.ts';
import type { ChatMessage } from './chat-message.ts';
import { type ChatRenderOptions, ChatTemplate } from './chat-template.ts';
import { PromptEncoder } from './encode-prompt.ts';
import { PLAIN_STOP, PLAIN_TEMPLATE } from './plain-template.ts';

export interface ConversationOptions {
  /** Jinja source to use in place of the model's own. Default: the model's. */
  readonly chatTemplate?: string | undefined;
  /** What `strftime_now` formats. Default: the machine's clock. */
  readonly now?: () => Date;
}

export interface RenderedConversation {
  /** The prompt as ids: to be run as they are, nothing added. */
  readonly promptTokenIds: Int32Array;
  /** The same as text, for people and logs. */
  readonly text: string;
  /** Stop strings that the format needs besides the model's own end tokens. Empty for a chat model. */
  readonly stop: readonly string[];
}

/** Parses the template once and serves any number of conversations. */
export class ConversationRenderer {
  /** False for a model without a chat template: it was not trained on conversations. */
  readonly hasTemplate: boolean;
  readonly #template: ChatTemplate;
  readonly #encoder: PromptEncoder;

  /** @throws UnsupportedError for a template that cannot be parsed */
  constructor(tokenizer: Tokenizer, options: ConversationOptions = {}) {
    const source = options.chatTemplate ?? tokenizer.chatTemplate;
    const textOf = (id: number | undefined): string => (id === undefined ? '' : tokenizer.tokenText(id));
    this.hasTemplate = source !== undefined;
    this.#encoder = new PromptEncoder(tokenizer);
    this.#template = ChatTemplate.parse(source ?? PLAIN_TEMPLATE, {
      bosToken: textOf(tokenizer.bosId),
      eosToken: textOf(tokenizer.eosId),
      ...(options.now === undefined ? {} : { now: options.now }),
    });
  }

  /** @throws InvalidArgumentError for messages that are malformed or that the template refuses;
   *          UnsupportedError for a template that fails, or hides which part of the prompt a message is */
  render(messages: readonly ChatMessage[], options: ChatRenderOptions = {}): RenderedConversation {
    const prompt = this.#template.renderMarked(messages, options);
    const stop = this.hasTemplate ? [] : PLAIN_STOP;
    return { promptTokenIds: this.#encoder.encode(prompt), text: prompt.text, stop };
  }
}

/** For one conversation. @throws as ConversationRenderer */
export function renderConversation(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: ChatRenderOptions & ConversationOptions = {},
): RenderedConversation {
  return new ConversationRenderer(tokenizer, options).render(messages, options);
}
