/** One request: `n` choices that share a prompt, the stream they are told to, and the sums over all of them. */
import type { FinishReason } from '../scheduler/sequence.ts';
import type { Clock } from '../util/clock.ts';
import type { Choice } from './choice.ts';
import type { GenerationChoice, GenerationStream } from './generation-stream.ts';

export class GenerationRequest {
  readonly stream: GenerationStream;
  readonly choices: readonly Choice[];
  readonly #clock: Clock;
  readonly #seed: number;
  readonly #startMs: number;
  readonly #finished = new Map<number, GenerationChoice>();
  #firstTokenMs: number | undefined;

  constructor(stream: GenerationStream, choices: readonly Choice[], info: { clock: Clock; seed: number }) {
    this.stream = stream;
    this.choices = choices;
    this.#clock = info.clock;
    this.#seed = info.seed;
    this.#startMs = info.clock.nowMs();
  }

  noteFirstToken(): void {
    this.#firstTokenMs ??= this.#clock.nowMs();
  }

  /** One choice has its answer. */
  finishChoice(choice: Choice, finishReason: FinishReason): void {
    this.#finished.set(choice.index, choice.finish(finishReason));
    if (this.#finished.size < this.choices.length) return;
    const choices = this.choices.map(({ index }) => this.#finished.get(index)!);
    const nowMs = this.#clock.nowMs();
    const { numPromptTokens, numCachedTokens } = this.choices[0]!.sequence;
    this.stream.finish({
      text: choices[0]!.text,
      choices,
      usage: {
        numPromptTokens,
        numCachedTokens,
        numGeneratedTokens: choices.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
      },
      timings: { timeToFirstTokenMs: (this.#firstTokenMs ?? nowMs) - this.#startMs, totalMs: nowMs - this.#startMs },
      seed: this.#seed,
    });
  }
}
