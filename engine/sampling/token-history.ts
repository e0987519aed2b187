/** The tokens of one sequence, as sampling sees them. A `Sequence` fits as it is. */
export interface TokenHistory {
  /** Prompt tokens, then generated ones. May be longer than `numTokens`. */
  readonly tokenIds: Int32Array | readonly number[];
  readonly numTokens: number;
  readonly numPromptTokens: number;
}

export function numGeneratedTokens(history: TokenHistory): number {
  return history.numTokens - history.numPromptTokens;
}
