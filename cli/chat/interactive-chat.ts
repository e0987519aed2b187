/** A chat with a person at a terminal. */
import { ContextLengthError, QuernError } from '../../engine/errors.ts';
import { note, print, showText } from '../terminal.ts';
import { answerNote, overflowNote } from './answer-notes.ts';
import { CHAT_COMMANDS, parseChatLine, runChatCommand } from './chat-commands.ts';
import type { AnswerOptions, ChatAnswer, ChatSession } from './chat-session.ts';
import { chatHistoryPath, HistoryFile } from './history-file.ts';
import { readTurn } from './read-turn.ts';
import { TerminalLines } from './terminal-lines.ts';

export interface InteractiveChatOptions {
  readonly keepsHistory: boolean;
  /** Ends the chat: the process was told to end. */
  readonly signal: AbortSignal;
}

export async function interactiveChat(session: ChatSession, options: InteractiveChatOptions): Promise<void> {
  const history = options.keepsHistory ? new HistoryFile(chatHistoryPath(), note) : undefined;
  const lines = new TerminalLines({
    input: process.stdin,
    output: process.stdout.isTTY ? process.stdout : process.stderr,
    history: history?.load() ?? [],
    onLine: (line) => history?.append(line),
    completions: Object.keys(CHAT_COMMANDS),
  });
  options.signal.addEventListener('abort', () => lines.close());
  try {
    await converse(session, lines);
  } finally {
    lines.close();
  }
}

async function converse(session: ChatSession, lines: TerminalLines): Promise<void> {
  let lastAnswer: ChatAnswer | undefined;
  const answer = async (start: (options: AnswerOptions) => Promise<ChatAnswer | undefined>): Promise<void> => {
    lastAnswer = (await showAnswer(start, lines)) ?? lastAnswer;
  };
  for (;;) {
    const turn = await readTurn(lines, note);
    if (turn === undefined) return;
    if (turn.trim() === '') continue;
    const line = parseChatLine(turn);
    try {
      if (line.kind === 'message') {
        await answer((options) => session.ask(line.text, options));
      } else {
        const outcome = await runChatCommand(line.name, line.argument, { session, lastAnswer, note, answer });
        if (outcome === 'exit') return;
      }
    } catch (error) {
      reportAndGoOn(error);
    }
  }
}

async function showAnswer(
  start: (options: AnswerOptions) => Promise<ChatAnswer | undefined>,
  lines: TerminalLines,
): Promise<ChatAnswer | undefined> {
  const controller = new AbortController();
  let endsLine = true;
  const onText = async (text: string): Promise<void> => {
    endsLine = text.endsWith('\n');
    await showText(text);
  };
  try {
    const answer = await lines.during(
      () => controller.abort(),
      () => start({ signal: controller.signal, onText }),
    );
    if (!endsLine) await print('\n');
    endsLine = true;
    const told = answer === undefined ? undefined : answerNote(answer);
    if (told !== undefined) note(told);
    return answer;
  } finally {
    if (!endsLine) await print('\n');
  }
}

/** A mistake of one turn does not end the chat; what should not happen does. */
function reportAndGoOn(error: unknown): void {
  if (!QuernError.isInstance(error) || error.code === 'ENGINE_CLOSED') throw error;
  note(error instanceof ContextLengthError ? overflowNote(error) : error.message);
}
