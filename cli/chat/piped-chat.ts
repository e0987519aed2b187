/** A chat with a script: each line of stdin is a message, taken as it is, and each answer goes to stdout. */
import { AbortError } from '../../engine/errors.ts';
import { readInput } from '../input.ts';
import { textLines } from '../stdin.ts';
import { note, print, printJson, showText } from '../terminal.ts';
import { answerNote } from './answer-notes.ts';
import type { ChatAnswer, ChatSession } from './chat-session.ts';

export interface PipedChatOptions {
  /** One JSON object per answer. */
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/** Blank lines are passed over.
 * @throws what answering throws: a script must not go on with half a conversation; FormatError for a line that is no text */
export async function pipedChat(session: ChatSession, { json, signal }: PipedChatOptions): Promise<void> {
  for await (const line of textLines(readInput('-', signal))) {
    if (line.trim() === '') continue;
    const answer = await session.ask(line, json ? { signal } : { signal, onText: showText });
    if (json) await printJson(summary(answer));
    else await print('\n');
    if (signal.aborted) throw new AbortError(signal.reason);
    const told = answerNote(answer);
    if (told !== undefined && !json) note(told);
  }
}

function summary({ text, result, numTokensLeft }: ChatAnswer): Record<string, unknown> {
  if (result === undefined) return { text, numTokensLeft };
  const { choices, usage, timings, seed } = result;
  return { text, finishReason: choices[0]!.finishReason, usage, timings, seed, numTokensLeft };
}
