/** One step's work, flattened: every scheduled token of every sequence in one row of `tokenIds`.
 *
 *   sequence        0         1   2
 *   tokenIds      [ a b c d | e | f g ]      numTokens = 7, numSeqs = 3
 *   positions     [ 0 1 2 3 | 9 | 4 5 ]
 *   queryStartLoc [ 0         4   5    7 ]
 *   seqLens       [ 4         10  6 ]        tokens in the cache after this step
 *   slotMapping   where each token's key and value go: block * blockSize + offset
 *   blockTables   [numSeqs, maxBlocksPerSeq], row-major, unused entries 0
 *   outputRows    rows whose final hidden state anyone looks at, ascending: [ 3, 4, 6 ] when each sequence samples
 *   logitRows     of those, by place in outputRows, the ones whose logits are computed: [ 0, 1, 2 ]
 *   numTop        of each row of logits, so many of the best are wanted
 *   sumRows       the rows of logits of which a softmax's segment sums are wanted, by place in logitRows: [ 0, 2, 2 ] ...
 *   sumTemperatures   ... each at its own temperature: [ 1, 1, 0.7 ]
 *   wantsLogits   whether somebody wants logits whole
 *   scoreRows     the ones of which only one token's log-probability is wanted: that of scoreTokenIds, entry by entry
 *   hiddenRows    the ones whose final hidden states are themselves wanted, for embeddings
 *   blockCopies   KV blocks to copy before anything else, as source, target, source, target, ... */
export interface ForwardBatch {
  readonly numTokens: number;
  readonly numSeqs: number;
  readonly maxBlocksPerSeq: number;
  readonly tokenIds: Int32Array;
  readonly positions: Int32Array;
  readonly slotMapping: Int32Array;
  readonly queryStartLoc: Int32Array;
  readonly seqLens: Int32Array;
  readonly blockTables: Int32Array;
  readonly outputRows: Int32Array;
  readonly logitRows: Int32Array;
  readonly numTop: number;
  readonly sumRows: Int32Array;
  readonly sumTemperatures: readonly number[];
  readonly wantsLogits: boolean;
  readonly scoreRows: Int32Array;
  readonly scoreTokenIds: Int32Array;
  readonly hiddenRows: Int32Array;
  readonly blockCopies: Int32Array;
}

/** What a step gives back, row by row in the order of the lists that asked for it. May lie in the memory that the next
 * step writes to. */
export interface StepResult {
  /** [logitRows.length, vocabSize]; empty when nobody wanted them and they cannot be seen in place. */
  readonly logits: Float32Array;
  /** Whether `logits` costs nothing: it shows memory in place. */
  readonly seesLogits: boolean;
  /** [logitRows.length, numTop, 2] */
  readonly topLogits: Float32Array;
  /** [sumRows.length, segments, 3] */
  readonly segmentSums: Float32Array;
  /** Natural logarithms, [scoreRows.length] */
  readonly logprobs: Float32Array;
  /** [hiddenRows.length, hiddenSize] */
  readonly hiddenStates: Float32Array;
  /** The logits of a row, by place in logitRows, when `logits` is empty. */
  fetchLogits(place: number): Promise<Float32Array>;
}
