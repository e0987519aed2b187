/** A model's chat template: Jinja source that turns messages into the text the model was trained on. Owns which names a
 * template finds (those that Hugging Face transformers gives it) and what becomes of one that fails. Must not know tokens. */
import { InvalidArgumentError, QuernError, UnsupportedError } from '../errors.ts';
import { type ChatMessage, readMessages, type TemplateMessage } from './chat-message.ts';
import { hasMarks, type MarkedText, mark, readMarks, unmark } from './content-marks.ts';
import { Environment, parse, tokenize } from './jinja/package.ts';
import { stringValue } from './jinja/runtime-values.ts';
import { strftime } from './jinja/strftime.ts';
import { addBlocks, type BlockNode } from './jinja/syntax-tree.ts';
import { TemplateInterpreter } from './jinja/template-interpreter.ts';
import { TemplateLimitError, WorkBudget } from './jinja/work-budget.ts';
import { ValueReader } from './template-values.ts';

export interface ChatTemplateOptions {
  /** Default ''. */
  readonly bosToken?: string;
  /** Default ''. */
  readonly eosToken?: string;
  /** What `strftime_now` formats. Default: the machine's clock. */
  readonly now?: () => Date;
}

export interface ChatRenderOptions {
  /** End with the beginning of the assistant's turn, so that the model goes on as it. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Functions that the model may call, as JSON schemas in OpenAI's form. Default none. */
  readonly tools?: readonly unknown[];
  readonly documents?: readonly unknown[];
  /** Further names for the template, such as `enable_thinking`. JSON values. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** A rendered conversation whose every character is known to be the template's or the caller's. */
export interface MarkedPrompt extends MarkedText {
  /** Text of the template that lies within the content spans too, because the template treated both as one. */
  readonly blurredText: ReadonlySet<string>;
}

/** Published templates have some thousand characters. The package's parser needs time quadratic in white space. */
const MAX_TEMPLATE_LENGTH = 256 * 2 ** 10;
const MAX_WHITE_SPACE = 1024;
/** As jinja2's sandbox. */
const MAX_RANGE = 100_000;
const RESERVED_NAMES = new Set(['messages', 'tools', 'documents', 'add_generation_prompt', 'bos_token', 'eos_token']);

/** The template says that it cannot render these messages. */
class TemplateRefusal extends Error {}

export class ChatTemplate {
  readonly #program: BlockNode;
  readonly #sourceLength: number;
  readonly #bosToken: string;
  readonly #eosToken: string;
  readonly #now: () => Date;

  private constructor(program: BlockNode, sourceLength: number, options: ChatTemplateOptions) {
    this.#program = program;
    this.#sourceLength = sourceLength;
    this.#bosToken = options.bosToken ?? '';
    this.#eosToken = options.eosToken ?? '';
    this.#now = options.now ?? (() => new Date());
  }

  /** White space around blocks is treated as transformers has it: `trim_blocks` and `lstrip_blocks`.
   * @throws UnsupportedError for a source that cannot be parsed, or is beyond any real template's size */
  static parse(source: string, options: ChatTemplateOptions = {}): ChatTemplate {
    if (typeof source !== 'string')
      throw new InvalidArgumentError('chatTemplate', `must be a string, got ${typeof source}`);
    if (source.length > MAX_TEMPLATE_LENGTH) {
      throw unsupported(`it has ${source.length} characters; at most ${MAX_TEMPLATE_LENGTH} are read`);
    }
    if (longestWhiteSpace(source) > MAX_WHITE_SPACE) throw unsupported(`more than ${MAX_WHITE_SPACE} blanks in a row`);
    const text = source.toWellFormed().replace(/\r\n?/g, '\n');
    try {
      const tokens = tokenize(text, { lstrip_blocks: true, trim_blocks: true });
      return new ChatTemplate(addBlocks(parse(tokens)), source.length, options);
    } catch (error) {
      throw unsupported(`it cannot be parsed: ${problemOf(error)}`);
    }
  }

  /** @throws InvalidArgumentError for messages that are malformed or that the template refuses (`raise_exception`);
   *          UnsupportedError for a template that fails or does not end */
  render(messages: readonly ChatMessage[], options: ChatRenderOptions = {}): string {
    return this.#run(readMessages(messages), options, { marks: false, now: this.#now() }).text;
  }

  /** As `render`, with the stretches that came from the caller. Renders twice: once as it is, and once with marks around
   * every text of the caller. Only when both give the same text is what the marks say true.
   * @throws as `render`, and UnsupportedError when they differ */
  renderMarked(messages: readonly ChatMessage[], options: ChatRenderOptions = {}): MarkedPrompt {
    const checked = readMessages(messages);
    const now = this.#now();
    const plain = this.#run(checked, options, { marks: false, now });
    const marked = this.#run(checked, options, { marks: true, now });
    const prompt = readMarks(marked.text);
    if (prompt?.text !== plain.text) {
      throw unsupported('it treats the texts of messages in a way that hides which part of the prompt they are');
    }
    return { ...prompt, blurredText: marked.blurredText };
  }

  #run(
    messages: readonly TemplateMessage[],
    options: ChatRenderOptions,
    { marks, now }: { readonly marks: boolean; readonly now: Date },
  ): { readonly text: string; readonly blurredText: ReadonlySet<string> } {
    const reader = new ValueReader(marks);
    const environment = this.#createEnvironment(now);
    const set = (name: string, value: unknown): void => void environment.setVariable(name, reader.read(value, name));
    for (const [name, value] of Object.entries(options.variables ?? {})) {
      if (RESERVED_NAMES.has(name) || environment.variables.has(name)) {
        throw new InvalidArgumentError(`variables.${name}`, 'is a name that every template is given');
      }
      if (value !== undefined) set(name, value);
    }
    for (const name of ['tools', 'documents'] as const) {
      if (options[name] != null && !Array.isArray(options[name]))
        throw new InvalidArgumentError(name, 'must be an array');
    }
    set('messages', messages);
    set('tools', options.tools ?? null);
    set('documents', options.documents ?? null);
    set('add_generation_prompt', options.addGenerationPrompt ?? true);
    const budget = new WorkBudget(reader.numCharacters, this.#sourceLength);
    const interpreter = new TemplateInterpreter(environment, budget);
    try {
      const text = interpreter.evaluate(this.#program, environment).value as string;
      return { text: marks ? text : text.toWellFormed(), blurredText: interpreter.blurredText };
    } catch (error) {
      throw renderError(error);
    }
  }

  #createEnvironment(now: Date): Environment {
    const environment = new Environment();
    for (const [name, value] of [
      ['true', true],
      ['false', false],
      ['none', null],
    ] as const) {
      environment.set(name, value);
      environment.set(name[0]!.toUpperCase() + name.slice(1), value);
    }
    environment.setVariable('bos_token', stringValue(this.#bosToken));
    environment.setVariable('eos_token', stringValue(this.#eosToken));
    environment.set('range', pythonRange);
    environment.set('strftime_now', (format: unknown) => {
      const text = strftime(now, unmark(String(format)));
      return hasMarks(String(format)) ? mark(text) : text;
    });
    environment.set('raise_exception', (message: unknown) => {
      throw new TemplateRefusal(unmark(String(message)));
    });
    return environment;
  }
}

function pythonRange(...bounds: number[]): number[] {
  const [start, stop, step = 1] = bounds.length === 1 ? [0, bounds[0]!] : bounds;
  if (![start, stop, step].every(Number.isInteger) || step === 0) throw new Error('range() needs whole numbers');
  const length = Math.max(0, Math.ceil((stop! - start!) / step));
  if (length > MAX_RANGE) throw new TemplateLimitError(`range() of ${length} numbers`);
  return Array.from({ length }, (_, i) => start! + i * step);
}

function longestWhiteSpace(source: string): number {
  let longest = 0;
  let length = 0;
  for (let i = 0; i < source.length; i++) {
    length = source[i]!.trim() === '' ? length + 1 : 0;
    longest = Math.max(longest, length);
  }
  return longest;
}

function renderError(error: unknown): QuernError {
  if (QuernError.isInstance(error)) return error;
  if (error instanceof TemplateRefusal) {
    return new InvalidArgumentError('messages', `the model's chat template refuses them: ${error.message}`);
  }
  return unsupported(error instanceof TemplateLimitError ? error.message : `it fails: ${problemOf(error)}`);
}

function unsupported(reason: string): UnsupportedError {
  return new UnsupportedError("the model's chat template", reason);
}

/** The package's own words; for a stack that ran out, better ones. */
function problemOf(error: unknown): string {
  if (error instanceof RangeError) return 'it nests too deep, or makes too long a text';
  return error instanceof Error ? error.message : 'break or continue outside of a loop';
}
