/** One request: `n` choices that share a prompt, the stream they are told to, and the sums over all of them. */
import { AbortError } from '../errors.ts';
import type { Sequence } from '../scheduler/sequence.ts';
import type { Clock } from '../util/clock.ts';
import type { GenerationChoice, GenerationStream } from './generation-stream.ts';

export interface GenerationRequestParts {
  readonly stream: GenerationStream;
  /** One per choice, in order. */
  readonly sequences: readonly Sequence[];
  readonly seed: number;
  readonly clock: Clock;
  readonly abort: (sequences: readonly Sequence[]) => void;
}

export class GenerationRequest {
  readonly #parts: GenerationRequestParts;
  readonly #startMs: number;
  readonly #choices = new Map<number, GenerationChoice>();
  #firstTokenMs: number | undefined;

  constructor(parts: GenerationRequestParts) {
    this.#parts = parts;
    this.#startMs = parts.clock.nowMs();
  }

  noteToken(): void {
    this.#firstTokenMs ??= this.#parts.clock.nowMs();
  }

  /** A choice has ended. One without an answer is a request without one, and the others need not go on. */
  endChoice(outcome: GenerationChoice | Error | undefined): void {
    const { stream, sequences, abort } = this.#parts;
    if (outcome === undefined || outcome instanceof Error) {
      stream.fail(outcome ?? new AbortError());
      abort(sequences);
      return;
    }
    this.#choices.set(outcome.index, outcome);
    if (this.#choices.size === sequences.length) this.#finish();
  }

  #finish(): void {
    const { stream, sequences, seed, clock } = this.#parts;
    const choices = sequences.map((_, index) => this.#choices.get(index)!);
    const nowMs = clock.nowMs();
    const { numPromptTokens, numCachedTokens } = sequences[0]!;
    const numGeneratedTokens = choices.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    const timeToFirstTokenMs = (this.#firstTokenMs ?? nowMs) - this.#startMs;
    stream.finish({
      text: choices[0]!.text,
      choices,
      usage: { numPromptTokens, numCachedTokens, numGeneratedTokens },
      timings: { timeToFirstTokenMs, totalMs: nowMs - this.#startMs },
      seed,
    });
  }
}
