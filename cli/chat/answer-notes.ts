/** What a person must be told about an answer besides its text. */
import type { ContextLengthError } from '../../engine/errors.ts';
import type { ChatAnswer } from './chat-session.ts';

/** Undefined when there is nothing to tell. */
export function answerNote({ result, numTokensLeft }: ChatAnswer): string | undefined {
  if (result === undefined) return '[interrupted]';
  if (result.choices[0]!.finishReason !== 'length') return undefined;
  return numTokensLeft <= 0 ? '[the context is full: the answer ends here]' : '[stopped at --max-tokens]';
}

/** For a conversation that does not fit any more. */
export function overflowNote(error: ContextLengthError): string {
  return (
    `${error.message}. It was not sent, and nothing was cut. Say it shorter, /reset to begin anew, ` +
    'or start again with a larger --context-length.'
  );
}
