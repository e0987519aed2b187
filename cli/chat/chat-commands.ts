/** Lines of an interactive chat that are not for the model: what they are and what they do. */
import { writeFile } from 'node:fs/promises';
import { FileAccessError } from '../../engine/errors.ts';
import type { AnswerOptions, ChatAnswer, ChatSession } from './chat-session.ts';

export const CHAT_COMMANDS: Readonly<Record<string, string>> = {
  '/help': 'this list',
  '/reset': 'forget the conversation; the system message stays',
  '/system': '[TEXT]  set the system message, or show it; - takes it away',
  '/save': 'FILE  write the conversation as JSON messages to a new file',
  '/regenerate': 'answer the last message again',
  '/stats': 'tokens and times of the last answer',
  '/exit': 'leave (or Ctrl-D)',
};

export type ChatLine =
  | { readonly kind: 'message'; readonly text: string }
  | { readonly kind: 'command'; readonly name: string; readonly argument: string };

/** A line that begins with one slash is a command; two slashes are a message that begins with one. */
export function parseChatLine(line: string): ChatLine {
  if (line.startsWith('//')) return { kind: 'message', text: line.slice(1) };
  if (!line.startsWith('/')) return { kind: 'message', text: line };
  const [, name = '', argument = ''] = /^(\S+)([\s\S]*)$/.exec(line) ?? [];
  return { kind: 'command', name, argument: argument.trim() };
}

export interface CommandContext {
  readonly session: ChatSession;
  readonly lastAnswer: ChatAnswer | undefined;
  /** Tells the person something. */
  readonly note: (text: string) => void;
  /** Shows the answer that `start` gives; undefined if there is nothing to answer. */
  readonly answer: (start: (options: AnswerOptions) => Promise<ChatAnswer | undefined>) => Promise<void>;
}

/** @returns 'exit' when the chat ends
 *  @throws FileAccessError, and whatever answering throws */
export async function runChatCommand(
  name: string,
  argument: string,
  context: CommandContext,
): Promise<'exit' | 'done'> {
  const { session, note } = context;
  switch (name) {
    case '/help':
      note(helpText());
      return 'done';
    case '/reset':
      session.reset();
      note('The conversation is forgotten.');
      return 'done';
    case '/system':
      note(setSystem(session, argument));
      return 'done';
    case '/save':
      note(await save(session, argument));
      return 'done';
    case '/regenerate':
      if (session.messages.at(-1)?.role !== 'assistant') note('There is nothing to answer yet.');
      else await context.answer((options) => session.regenerate(options));
      return 'done';
    case '/stats':
      note(context.lastAnswer === undefined ? 'There is no answer yet.' : statsText(context.lastAnswer));
      return 'done';
    case '/exit':
      return 'exit';
    default:
      note(`${name} is no command. /help lists them; begin with // to say something that starts with a slash.`);
      return 'done';
  }
}

function helpText(): string {
  const width = Math.max(...Object.keys(CHAT_COMMANDS).map((name) => name.length));
  const lines = Object.entries(CHAT_COMMANDS).map(([name, text]) => `  ${name.padEnd(width)}  ${text}`);
  return [...lines, '', '  A line that ends with \\ goes on in the next. Ctrl-C stops an answer.'].join('\n');
}

function setSystem(session: ChatSession, text: string): string {
  if (text === '') return session.system === undefined ? 'There is no system message.' : session.system;
  session.system = text === '-' ? undefined : text;
  return 'From the next answer on.';
}

/** A new file only: what was there before may be worth more than a conversation. */
async function save(session: ChatSession, file: string): Promise<string> {
  if (file === '') return 'Say where: /save FILE';
  try {
    await writeFile(file, `${JSON.stringify(session.messages, null, 2)}\n`, { flag: 'wx' });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new FileAccessError(file, code === 'EEXIST' ? 'exists already; choose another name' : message, {
      cause: error,
    });
  }
  return `${session.messages.length} messages saved to ${file}`;
}

function statsText({ result, numTokensLeft }: ChatAnswer): string {
  const left = `${numTokensLeft} tokens left in the context`;
  if (result === undefined) return `interrupted; ${left}`;
  const { numPromptTokens, numCachedTokens, numGeneratedTokens } = result.usage;
  const { timeToFirstTokenMs, totalMs } = result.timings;
  const seconds = (totalMs - timeToFirstTokenMs) / 1000;
  const rate = numGeneratedTokens > 1 ? ` at ${((numGeneratedTokens - 1) / seconds).toFixed(1)} tokens/s` : '';
  return (
    `prompt of ${numPromptTokens} tokens, ${numCachedTokens} of them from the cache; first token after ` +
    `${timeToFirstTokenMs.toFixed(0)} ms; ${numGeneratedTokens} generated${rate}; seed ${result.seed}; ${left}`
  );
}
