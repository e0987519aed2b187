/** What stands between the model's logits and the choice of a token. A grammar's mask is one more of these. */
import type { Rng } from '../util/rng.ts';
import type { Candidates } from './candidates.ts';
import type { TokenHistory } from './token-history.ts';

export interface ProcessorContext {
  readonly history: TokenHistory;
  /** The request's own generator, for processors that toss a coin. */
  readonly rng: Rng;
}

export interface LogitsProcessor {
  /** The request option that it answers to. */
  readonly name: string;
  /** Changes logits (-Infinity bans) or drops candidates. Allocates nothing: it runs for every token. */
  apply(candidates: Candidates, context: ProcessorContext): void;
  /** For an edit: the tokens whose logits it may change, with repetitions and in any order. Absent: perhaps all. */
  touchedTokens?(context: ProcessorContext): ArrayLike<number>;
}
