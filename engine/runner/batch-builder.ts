/** Flattens a scheduler's step into the arrays that the model reads, and deals its results out to the sequences. See
 * `ForwardBatch` for the picture. */
import type { ForwardBatch, StepResult } from '../model/forward-batch.ts';
import type { ScheduledSequence, SchedulerOutput } from '../scheduler/scheduler-output.ts';

/** What a sequence wants of its rows.
 * 'next'    the logits of the last row, in the step that reaches it
 * 'score'   of each row, the log-probability of the token that follows it in the prompt (none for the prompt's last)
 * 'hidden'  the final hidden state of each row */
export type RowsWanted = 'next' | 'score' | 'hidden';

/** What is wanted of unfinished sequences, and a sequence's prompt, which 'score' needs one token beyond the step. */
export interface RowPolicy {
  readonly rowsWanted: (sequenceId: number) => RowsWanted;
  readonly promptOf: (sequenceId: number) => { readonly tokenIds: ArrayLike<number>; readonly numPromptTokens: number };
}

/** The policy as it is now, for the sequences of one step. A sequence may end while the step is computed; what was asked
 * for it still lies among the results, and has to be passed over. */
export function freezePolicy(output: SchedulerOutput, policy: RowPolicy): RowPolicy {
  const wanted = new Map<number, RowsWanted>();
  const prompts = new Map<number, ReturnType<RowPolicy['promptOf']>>();
  for (const { id } of output.scheduled) {
    const rows = policy.rowsWanted(id);
    wanted.set(id, rows);
    if (rows === 'score') prompts.set(id, policy.promptOf(id));
  }
  return { rowsWanted: (id) => wanted.get(id)!, promptOf: (id) => prompts.get(id)! };
}

/** A sequence's share of a step's results. Views of the step's arrays. */
export interface SequenceRows {
  readonly id: number;
  /** Position of the first row in the sequence. A preempted sequence computes its rows again, from 0. */
  readonly position: number;
  readonly samples: boolean;
  /** [vocabSize], or empty */
  readonly logits: Float32Array;
  readonly logprobs: Float32Array;
  /** [rows, hiddenSize] */
  readonly hiddenStates: Float32Array;
}

export function buildBatch(output: SchedulerOutput, blockSize: number, policy: RowPolicy): ForwardBatch {
  const { scheduled, numScheduledTokens: numTokens, blockCopies } = output;
  const numSeqs = scheduled.length;
  const maxBlocksPerSeq = scheduled.reduce((max, { blockTable }) => Math.max(max, blockTable.length), 0);
  const batch = {
    numTokens,
    numSeqs,
    maxBlocksPerSeq,
    tokenIds: new Int32Array(numTokens),
    positions: new Int32Array(numTokens),
    slotMapping: new Int32Array(numTokens),
    queryStartLoc: new Int32Array(numSeqs + 1),
    seqLens: new Int32Array(numSeqs),
    blockTables: new Int32Array(numSeqs * maxBlocksPerSeq),
    blockCopies: Int32Array.from(blockCopies.flatMap(({ source, target }) => [source, target])),
  };
  const wanted = new WantedRows(policy);
  let row = 0;
  for (const [s, sequence] of scheduled.entries()) {
    const { numComputedTokens, tokenIds, blockTable } = sequence;
    wanted.add(sequence, row);
    batch.tokenIds.set(tokenIds, row);
    batch.blockTables.set(blockTable, s * maxBlocksPerSeq);
    for (let i = 0; i < tokenIds.length; i++, row++) {
      const position = numComputedTokens + i;
      batch.positions[row] = position;
      batch.slotMapping[row] = blockTable[Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
    }
    batch.seqLens[s] = numComputedTokens + tokenIds.length;
    batch.queryStartLoc[s + 1] = row;
  }
  return { ...batch, ...wanted.lists() };
}

/** Collects which rows of the step are wanted for what. */
class WantedRows {
  readonly #policy: RowPolicy;
  readonly #logitRows: number[] = [];
  readonly #scoreRows: number[] = [];
  readonly #scoreTokenIds: number[] = [];
  readonly #hiddenRows: number[] = [];

  constructor(policy: RowPolicy) {
    this.#policy = policy;
  }

  add(sequence: ScheduledSequence, firstRow: number): void {
    const { id, numScheduledTokens, samples } = sequence;
    const wanted = this.#policy.rowsWanted(id);
    if (wanted === 'next' && samples) this.#logitRows.push(firstRow + numScheduledTokens - 1);
    if (wanted === 'hidden') for (let i = 0; i < numScheduledTokens; i++) this.#hiddenRows.push(firstRow + i);
    if (wanted !== 'score') return;
    const { tokenIds } = this.#policy.promptOf(id);
    for (let i = 0; i < numScored(sequence, this.#policy); i++) {
      this.#scoreRows.push(firstRow + i);
      this.#scoreTokenIds.push(tokenIds[sequence.numComputedTokens + i + 1]!);
    }
  }

  lists(): Pick<ForwardBatch, 'logitRows' | 'scoreRows' | 'scoreTokenIds' | 'hiddenRows'> {
    return {
      logitRows: Int32Array.from(this.#logitRows),
      scoreRows: Int32Array.from(this.#scoreRows),
      scoreTokenIds: Int32Array.from(this.#scoreTokenIds),
      hiddenRows: Int32Array.from(this.#hiddenRows),
    };
  }
}

/** Rows of the step that have a next token in the prompt: all but the prompt's last. */
function numScored({ id, numComputedTokens, numScheduledTokens }: ScheduledSequence, policy: RowPolicy): number {
  const numLeft = policy.promptOf(id).numPromptTokens - 1 - numComputedTokens;
  return Math.max(0, Math.min(numScheduledTokens, numLeft));
}

/** Gives each sequence of the step its own results, in the order in which `buildBatch` asked for them. */
export function* dealResults(
  output: SchedulerOutput,
  result: StepResult,
  model: { readonly policy: RowPolicy; readonly vocabSize: number; readonly hiddenSize: number },
): Generator<SequenceRows> {
  const { policy, vocabSize, hiddenSize } = model;
  const takeLogits = taker(result.logits);
  const takeLogprobs = taker(result.logprobs);
  const takeHidden = taker(result.hiddenStates);
  for (const sequence of output.scheduled) {
    const { id, samples, numScheduledTokens, numComputedTokens } = sequence;
    const wanted = policy.rowsWanted(id);
    const numLogits = wanted === 'next' && samples ? vocabSize : 0;
    const numLogprobs = wanted === 'score' ? numScored(sequence, policy) : 0;
    const numHidden = wanted === 'hidden' ? numScheduledTokens * hiddenSize : 0;
    yield {
      id,
      position: numComputedTokens,
      samples,
      logits: takeLogits(numLogits),
      logprobs: takeLogprobs(numLogprobs),
      hiddenStates: takeHidden(numHidden),
    };
  }
}

/** Views of `values` one after another. */
function taker(values: Float32Array): (count: number) => Float32Array {
  let start = 0;
  return (count) => {
    const view = values.subarray(start, start + count);
    start += count;
    return view;
  };
}
