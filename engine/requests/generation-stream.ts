/** What `generate` returns: one object to iterate over, to await, or to pipe.
 *
 *   for await (const { text } of stream) ...     leaving the loop early aborts the request
 *   const { text, usage } = await stream.result  the whole answer
 *   Readable.fromWeb(stream.toReadableStream())  UTF-8 bytes of the text
 *
 * Text that nobody has read yet is merged into one pending chunk per choice, so a slow reader costs a few bytes and
 * never holds up the model, and so never holds KV blocks. */
import type { TokenLogprob } from '../sampling/log-probabilities.ts';
import type { StopDecision } from '../sampling/stop-criteria.ts';

/** How an answer can end. */
export type GenerationFinishReason = StopDecision['finishReason'];

/** Log-probabilities at one generated token, of the model's own distribution (before any processor). */
export interface GeneratedLogprob extends TokenLogprob {
  /** The likeliest tokens there, best first. As many as were asked for. */
  readonly top: readonly TokenLogprob[];
}

/** New text of one choice. */
export interface GenerationChunk {
  /** Which of the `n` choices. */
  readonly index: number;
  readonly text: string;
  readonly tokenIds: readonly number[];
  /** Present when log-probabilities were asked for: one entry per token id. */
  readonly logprobs?: readonly GeneratedLogprob[];
  /** Present in a choice's last chunk. */
  readonly finishReason?: GenerationFinishReason;
}

export interface GenerationChoice {
  readonly index: number;
  readonly text: string;
  readonly tokenIds: readonly number[];
  readonly logprobs?: readonly GeneratedLogprob[];
  readonly finishReason: GenerationFinishReason;
  /** The stop string or the entry of `stop_token_ids` that ended it; absent for the model's own end. */
  readonly stopReason?: string | number;
}

export interface GenerationUsage {
  readonly numPromptTokens: number;
  /** Prompt tokens whose keys and values the prefix cache supplied. */
  readonly numCachedTokens: number;
  /** Tokens generated, over all choices. */
  readonly numGeneratedTokens: number;
}

export interface GenerationTimings {
  /** From the call to the first token, ms. */
  readonly timeToFirstTokenMs: number;
  /** From the call to the end, ms. */
  readonly totalMs: number;
}

export interface GenerationResult {
  /** The first choice's text. */
  readonly text: string;
  readonly choices: readonly GenerationChoice[];
  readonly usage: GenerationUsage;
  readonly timings: GenerationTimings;
  /** The seed in use, so that a run without one can be repeated. */
  readonly seed: number;
}

/** What the engine pushes into; the reader sees only `GenerationStream`. */
export class GenerationStream implements AsyncIterable<GenerationChunk> {
  /** Settles with the whole answer, or with the error that ended the request. A rejection that nobody looks at is not
   * an unhandled one. */
  readonly result: Promise<GenerationResult>;
  readonly #resolve: (result: GenerationResult) => void;
  readonly #reject: (error: unknown) => void;
  readonly #onAbandon: () => void;
  /** Unread text by choice, oldest choice first. */
  readonly #pending = new Map<number, PendingChunk>();
  #state: { kind: 'open' } | { kind: 'done' } | { kind: 'failed'; error: unknown } = { kind: 'open' };
  /** Readers that wait for something new. */
  #waiting: (() => void)[] = [];

  /** @param onAbandon  called once when the reader leaves before the end */
  constructor(onAbandon: () => void) {
    const { promise, resolve, reject } = Promise.withResolvers<GenerationResult>();
    promise.catch(() => {});
    this.result = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#onAbandon = onAbandon;
  }

  /** For the engine: new text of one choice. */
  push(chunk: GenerationChunk): void {
    if (this.#state.kind !== 'open') return;
    const unread = this.#pending.get(chunk.index);
    if (unread === undefined) this.#pending.set(chunk.index, startPending(chunk));
    else append(unread, chunk);
    this.#notify();
  }

  /** For the engine: the request is complete. */
  finish(result: GenerationResult): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'done' };
    this.#resolve(result);
    this.#notify();
  }

  /** For the engine: the request ended with an error. Text that was pushed before can still be read. */
  fail(error: unknown): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'failed', error };
    this.#reject(error);
    this.#notify();
  }

  /** Not a generator: that would know of leaving only once it was entered, and not while it waits. */
  [Symbol.asyncIterator](): AsyncIterableIterator<GenerationChunk, void, void> {
    const end = { done: true, value: undefined } as const;
    let isOver = false;
    const reader: AsyncIterableIterator<GenerationChunk, void, void> = {
      next: async () => {
        while (!isOver) {
          const chunk = this.#takePending();
          if (chunk !== undefined) return { done: false, value: chunk };
          if (this.#state.kind === 'open') {
            await new Promise<void>((resolve) => this.#waiting.push(resolve));
            continue;
          }
          isOver = true;
          if (this.#state.kind === 'failed') throw this.#state.error;
        }
        return end;
      },
      return: async () => {
        if (isOver) return end;
        isOver = true;
        this.#onAbandon();
        this.#notify();
        return end;
      },
      [Symbol.asyncIterator]: () => reader,
    };
    return reader;
  }

  /** Aborts the request. `result` rejects with an `AbortError` unless the request has ended already. */
  cancel(): void {
    this.#onAbandon();
  }

  /** The first choice's text as UTF-8. Cancelling the stream aborts the request. */
  toReadableStream(): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    const chunks = this[Symbol.asyncIterator]();
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        try {
          for (;;) {
            const next = await chunks.next();
            if (next.done === true) return controller.close();
            if (next.value.index === 0 && next.value.text !== '') {
              return controller.enqueue(encoder.encode(next.value.text));
            }
          }
        } catch (error) {
          controller.error(error);
        }
      },
      async cancel() {
        await chunks.return?.();
      },
    });
  }

  #takePending(): GenerationChunk | undefined {
    for (const [index, chunk] of this.#pending) {
      this.#pending.delete(index);
      return chunk;
    }
    return undefined;
  }

  #notify(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

type PendingChunk = { -readonly [K in keyof GenerationChunk]: GenerationChunk[K] } & {
  tokenIds: number[];
  logprobs?: GeneratedLogprob[];
};

function startPending(chunk: GenerationChunk): PendingChunk {
  const { logprobs, ...rest } = chunk;
  return { ...rest, tokenIds: [...chunk.tokenIds], ...(logprobs === undefined ? {} : { logprobs: [...logprobs] }) };
}

function append(pending: PendingChunk, chunk: GenerationChunk): void {
  pending.text += chunk.text;
  pending.tokenIds.push(...chunk.tokenIds);
  if (chunk.logprobs !== undefined) {
    pending.logprobs ??= [];
    pending.logprobs.push(...chunk.logprobs);
  }
  if (chunk.finishReason !== undefined) pending.finishReason = chunk.finishReason;
}
