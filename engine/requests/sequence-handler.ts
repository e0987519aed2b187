/** What the engine does for one sequence while the scheduler runs it: the side of a request that sees results. */
import type { RowPolicy, RowsWanted, SequenceRows } from '../runner/batch-builder.ts';
import type { Sequence } from '../scheduler/sequence.ts';

export interface SequenceHandler {
  readonly sequence: Sequence;
  readonly rowsWanted: RowsWanted;
  /** For 'score': the tokens whose log-probabilities are wanted. They go one token beyond the sequence's. */
  readonly scoredText?: ReturnType<RowPolicy['promptOf']>;
  /** Takes in a step's results.
   * @returns the token sampled, if the sequence samples. Throws: the sequence fails. */
  onRows(rows: SequenceRows): number | undefined;
  /** Takes in a token that was appended; says whether the sequence ends with it. */
  acceptToken(tokenId: number): 'stop' | 'length' | undefined;
  /** The sequence has ended, well (`sequence.error` undefined) or not. Called once. */
  onEnd(): void;
}
