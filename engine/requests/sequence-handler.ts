/** What the engine does for one sequence while the scheduler runs it: the side of a request that sees results. */
import type { SequenceRows } from '../runner/deal-results.ts';
import type { RowPolicy, RowsWanted } from '../runner/row-policy.ts';
import type { SummaryNeeds, SummarySupport } from '../sampling/row-summary.ts';
import type { Sequence } from '../scheduler/sequence.ts';

export interface SequenceHandler {
  readonly sequence: Sequence;
  readonly rowsWanted: RowsWanted;
  /** For 'next': what must be known of the row, `undefined` for all of it. Absent: all of it. */
  summaryNeeds?(support: SummarySupport): SummaryNeeds | undefined;
  /** For 'score': the tokens whose log-probabilities are wanted. They go one token beyond the sequence's. */
  readonly scoredText?: ReturnType<RowPolicy['promptOf']>;
  /** Takes in a step's results.
   * @returns the token sampled, if the sequence samples. Throws or rejects: the sequence fails. */
  onRows(rows: SequenceRows): Promise<number> | number | undefined;
  /** Takes in a token that was appended; says whether the sequence ends with it. */
  acceptToken(tokenId: number): 'stop' | 'length' | undefined;
  /** The sequence has ended, well (`sequence.error` undefined) or not. Called once. */
  onEnd(): void;
}
