/** A sequence that generates nothing: what is wanted is what the model makes of its prompt, for scoring or embedding. */
import { AbortError } from '../errors.ts';
import type { SequenceRows } from '../runner/deal-results.ts';
import type { RowsWanted } from '../runner/row-policy.ts';
import type { Sequence } from '../scheduler/sequence.ts';
import type { SequenceHandler } from './sequence-handler.ts';

abstract class PromptReader<Result> implements SequenceHandler {
  abstract readonly rowsWanted: RowsWanted;
  readonly sequence: Sequence;
  /** Settles when the whole prompt is read. */
  readonly result: Promise<Result>;
  readonly #resolve: (result: Result) => void;
  readonly #reject: (error: unknown) => void;

  constructor(sequence: Sequence) {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    promise.catch(() => {});
    this.sequence = sequence;
    this.result = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** The request ended before the scheduler had the sequence. */
  fail(error: unknown): void {
    this.#reject(error);
  }

  onRows(rows: SequenceRows): undefined {
    this.read(rows);
    return undefined;
  }

  acceptToken(): undefined {
    return undefined;
  }

  onEnd(): void {
    if (this.sequence.finishReason === 'length') this.#resolve(this.conclude());
    else this.#reject(this.sequence.error ?? new AbortError());
  }

  protected abstract read(rows: SequenceRows): void;
  protected abstract conclude(): Result;
}

/** Log-probability of each token of a text but the first, given those before it.
 *
 *   text      t0 t1 t2 t3
 *   sequence  t0 t1 t2          computed; row i gives the logits of what follows token i
 *   results      l1 l2 l3 */
export class LogprobReader extends PromptReader<Float64Array> {
  readonly rowsWanted = 'score';
  readonly scoredText: { readonly tokenIds: Int32Array; readonly numPromptTokens: number };
  readonly #logprobs: Float64Array;

  /** @param sequence  the text without its last token (or that token alone)
   *  @param tokenIds  the text */
  constructor(sequence: Sequence, tokenIds: Int32Array) {
    super(sequence);
    this.scoredText = { tokenIds, numPromptTokens: tokenIds.length };
    this.#logprobs = new Float64Array(tokenIds.length - 1);
  }

  protected read({ position, logprobs }: SequenceRows): void {
    this.#logprobs.set(logprobs, position);
  }

  protected conclude(): Float64Array {
    return this.#logprobs;
  }
}

/** Which final hidden states make up an embedding: the mean of all, or the last token's (it has seen all others). */
export type Pooling = 'mean' | 'last';

/** One vector for the whole prompt. Sums in float64, in the order of positions. */
export class EmbeddingReader extends PromptReader<Float64Array> {
  readonly rowsWanted = 'hidden';
  readonly #pooling: Pooling;
  readonly #sum: Float64Array;

  constructor(sequence: Sequence, hiddenSize: number, pooling: Pooling) {
    super(sequence);
    this.#pooling = pooling;
    this.#sum = new Float64Array(hiddenSize);
  }

  protected read({ position, hiddenStates }: SequenceRows): void {
    const sum = this.#sum;
    const numRows = hiddenStates.length / sum.length;
    // After a preemption the rows come again, from the start.
    if (position === 0) sum.fill(0);
    for (let row = 0; row < numRows; row++) {
      const isWanted = this.#pooling === 'mean' || position + row === this.sequence.numPromptTokens - 1;
      if (!isWanted) continue;
      for (let i = 0; i < sum.length; i++) sum[i]! += hiddenStates[row * sum.length + i]!;
    }
  }

  protected conclude(): Float64Array {
    const count = this.#pooling === 'mean' ? this.sequence.numPromptTokens : 1;
    return this.#sum.map((value) => value / count);
  }
}
