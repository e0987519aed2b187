/** Flattens a scheduler's step into the arrays that the model reads. See `ForwardBatch` for the picture. */
import type { ForwardBatch } from '../model/forward-batch.ts';
import type { ScheduledSequence, SchedulerOutput } from '../scheduler/scheduler-output.ts';
import { numScored, type StepPolicy } from './row-policy.ts';

export function buildBatch(output: SchedulerOutput, blockSize: number, policy: StepPolicy): ForwardBatch {
  const { scheduled, numScheduledTokens: numTokens, blockCopies } = output;
  const numSeqs = scheduled.length;
  const maxBlocksPerSeq = scheduled.reduce((max, { blockTable }) => Math.max(max, blockTable.length), 0);
  const batch: TokenArrays = {
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

/** The part of a batch that says what is computed, rather than what is wanted of it. */
type TokenArrays = Pick<
  ForwardBatch,
  | 'numTokens'
  | 'numSeqs'
  | 'maxBlocksPerSeq'
  | 'tokenIds'
  | 'positions'
  | 'slotMapping'
  | 'queryStartLoc'
  | 'seqLens'
  | 'blockTables'
  | 'blockCopies'
>;

/** Collects which rows of the step are wanted for what. */
class WantedRows {
  readonly #policy: StepPolicy;
  readonly #outputRows: number[] = [];
  readonly #logitRows: number[] = [];
  readonly #sumRows: number[] = [];
  readonly #sumTemperatures: number[] = [];
  #numTop = 0;
  #wantsLogits = false;
  readonly #scoreRows: number[] = [];
  readonly #scoreTokenIds: number[] = [];
  readonly #hiddenRows: number[] = [];

  constructor(policy: StepPolicy) {
    this.#policy = policy;
  }

  add(sequence: ScheduledSequence, firstRow: number): void {
    const { id, numScheduledTokens, samples } = sequence;
    const wanted = this.#policy.rowsWanted(id);
    if (wanted === 'next' && samples) this.#addLogitRow(id, firstRow + numScheduledTokens - 1);
    if (wanted === 'hidden')
      for (let i = 0; i < numScheduledTokens; i++) this.#hiddenRows.push(this.#placeOf(firstRow + i));
    if (wanted !== 'score') return;
    const { tokenIds } = this.#policy.promptOf(id);
    for (let i = 0; i < numScored(sequence, this.#policy); i++) {
      this.#scoreRows.push(this.#placeOf(firstRow + i));
      this.#scoreTokenIds.push(tokenIds[sequence.numComputedTokens + i + 1]!);
    }
  }

  #addLogitRow(id: number, row: number): void {
    const needs = this.#policy.needsOf(id);
    const place = this.#logitRows.push(this.#placeOf(row)) - 1;
    this.#wantsLogits ||= needs === undefined;
    this.#numTop = Math.max(this.#numTop, needs?.numTop ?? 0);
    for (const temperature of needs?.temperatures ?? []) {
      this.#sumRows.push(place);
      this.#sumTemperatures.push(temperature);
    }
  }

  /** Rows come in ascending order, and each is wanted for one thing. */
  #placeOf(row: number): number {
    return this.#outputRows.push(row) - 1;
  }

  lists(): Omit<ForwardBatch, keyof TokenArrays> {
    return {
      outputRows: Int32Array.from(this.#outputRows),
      logitRows: Int32Array.from(this.#logitRows),
      numTop: this.#numTop,
      sumRows: Int32Array.from(this.#sumRows),
      sumTemperatures: this.#sumTemperatures,
      wantsLogits: this.#wantsLogits,
      scoreRows: Int32Array.from(this.#scoreRows),
      scoreTokenIds: Int32Array.from(this.#scoreTokenIds),
      hiddenRows: Int32Array.from(this.#hiddenRows),
    };
  }
}
