/** An engine without a model: it answers with texts it was given, one token per character, and remembers what it was asked. */
import type { ChatEngine } from '../../../cli/chat/chat-session.ts';
import { AbortError } from '../../../engine/errors.ts';
import type { GenerateOptions } from '../../../engine/requests/generate-options.ts';
import { GenerationStream } from '../../../engine/requests/generation-stream.ts';
import type { Tokenizer } from '../../../engine/tokenizer/index.ts';

export interface FakeEngine extends ChatEngine {
  readonly requests: { readonly prompt: string; readonly options: GenerateOptions }[];
  /** What comes next. A '!' in it waits until the request is aborted. */
  answers: string[];
}

export function fakeEngine(tokenizer: Tokenizer, maxModelLen = 1000): FakeEngine {
  const engine: FakeEngine = {
    requests: [],
    answers: [],
    tokenizer,
    maxModelLen,
    generate(prompt, options = {}) {
      const ids = prompt as ArrayLike<number>;
      engine.requests.push({ prompt: tokenizer.decode(Array.from(ids)), options });
      const stream = new GenerationStream(() => {});
      void answer(stream, engine.answers.shift() ?? 'Yes.', { numPromptTokens: ids.length, options });
      return stream;
    },
  };
  return engine;
}

async function answer(
  stream: GenerationStream,
  text: string,
  { numPromptTokens, options }: { readonly numPromptTokens: number; readonly options: GenerateOptions },
): Promise<void> {
  const limit = options.max_tokens ?? Number.POSITIVE_INFINITY;
  const characters = [...text].slice(0, limit);
  for (const character of characters) {
    if (character === '!') {
      await new Promise((resolve) => options.signal!.addEventListener('abort', resolve));
      return stream.fail(new AbortError());
    }
    stream.push({ index: 0, text: character, tokenIds: [1] });
    await Promise.resolve();
  }
  const finishReason = characters.length < [...text].length ? 'length' : 'stop';
  const usage = { numPromptTokens, numCachedTokens: 0, numGeneratedTokens: characters.length };
  const choice = { index: 0, text: characters.join(''), tokenIds: characters.map(() => 1), finishReason } as const;
  const timings = { timeToFirstTokenMs: 1, totalMs: 2 };
  stream.finish({ text: choice.text, choices: [choice], usage, timings, seed: 5 });
}
