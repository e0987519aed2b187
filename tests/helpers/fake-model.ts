/** A model without weights that still depends on every key and value, so that any slip in the bookkeeping shows.
 *
 * The "KV cache" holds one number per slot: a hash of the token, its position and all that the token attends to, read
 * through the block table, just as a transformer's keys and values depend on everything before them. The next token is a
 * function of the last slot. A wrong block table, a missing or wrong copy, a block given to two sequences, or a hit on
 * the wrong prefix changes the tokens. `runAlone` computes the same without pages. */
import type { SampledTokens, ScheduledSequence, SchedulerOutput } from '../../engine/scheduler/scheduler-output.ts';

export interface FakeModelOptions {
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly slidingWindow?: number | undefined;
  readonly vocabSize: number;
}

/** What a token at `position` leaves in the cache, given what it sees. */
function keyValueOf(tokenId: number, position: number, seen: Iterable<number>): number {
  let hash = Math.imul(tokenId + 1, 0x9e3779b1) ^ Math.imul(position + 1, 0x85ebca6b);
  for (const value of seen) hash = Math.imul(hash ^ value, 0x01000193) ^ (hash >>> 15);
  return hash | 0;
}

function nextTokenOf(keyValue: number, vocabSize: number): number {
  return (Math.imul(keyValue ^ (keyValue >>> 16), 0x45d9f3b) >>> 8) % vocabSize;
}

export class FakeModel {
  readonly #options: FakeModelOptions;
  readonly #slots: Int32Array;
  /** Tokens computed so far, over all sequences. */
  numComputedTokens = 0;
  numBlockCopies = 0;

  constructor(options: FakeModelOptions) {
    this.#options = options;
    this.#slots = new Int32Array(options.numBlocks * options.blockSize);
  }

  /** Computes a step as a runner would: copies, then every sequence's tokens. Returns what was sampled. */
  run(output: SchedulerOutput): SampledTokens {
    const { blockSize, vocabSize } = this.#options;
    this.#checkWrites(output);
    this.#checkCopies(output);
    for (const { source, target } of output.blockCopies) {
      this.#slots.copyWithin(target * blockSize, source * blockSize, (source + 1) * blockSize);
    }
    const sampled = new Map<number, readonly number[]>();
    for (const sequence of output.scheduled) {
      let last = 0;
      for (let i = 0; i < sequence.numScheduledTokens; i++) last = this.#compute(sequence, i);
      if (sequence.samples) sampled.set(sequence.id, [nextTokenOf(last, vocabSize)]);
    }
    this.numComputedTokens += output.numScheduledTokens;
    this.numBlockCopies += output.blockCopies.length;
    return sampled;
  }

  #compute(sequence: ScheduledSequence, index: number): number {
    const position = sequence.numComputedTokens + index;
    const first = Math.max(0, position - (this.#options.slidingWindow ?? Number.POSITIVE_INFINITY) + 1);
    const seen: number[] = [];
    for (let p = first; p < position; p++) seen.push(this.#slots[this.#slotOf(sequence, p)]!);
    const value = keyValueOf(sequence.tokenIds[index]!, position, seen);
    this.#slots[this.#slotOf(sequence, position)] = value;
    return value;
  }

  #slotOf(sequence: ScheduledSequence, position: number): number {
    const { blockSize } = this.#options;
    const blockId = sequence.blockTable[Math.floor(position / blockSize)];
    if (blockId === undefined || blockId === 0) {
      throw new Error(`sequence ${sequence.id} has no block for position ${position}`);
    }
    return blockId * blockSize + (position % blockSize);
  }

  /** A copy is for a sequence of this step, whose own block it fills: any other block may hold what somebody needs. */
  #checkCopies({ scheduled, blockCopies }: SchedulerOutput): void {
    for (const { source, target } of blockCopies) {
      const numOwners = scheduled.filter(({ blockTable }) => blockTable.includes(target)).length;
      if (numOwners !== 1) throw new Error(`block ${source} is copied to ${target}, which ${numOwners} sequences have`);
    }
  }

  /** A block that one sequence writes to must be nobody else's: tokens of a step are computed side by side. */
  #checkWrites(output: SchedulerOutput): void {
    const { blockSize } = this.#options;
    const numReaders = new Map<number, number>();
    for (const { blockTable } of output.scheduled) {
      for (const id of blockTable) numReaders.set(id, (numReaders.get(id) ?? 0) + 1);
    }
    for (const { id, blockTable, numComputedTokens, numScheduledTokens } of output.scheduled) {
      const end = Math.ceil((numComputedTokens + numScheduledTokens) / blockSize);
      for (let i = Math.floor(numComputedTokens / blockSize); i < end; i++) {
        const blockId = blockTable[i]!;
        if (numReaders.get(blockId) !== 1) throw new Error(`sequence ${id} writes to shared block ${blockId}`);
      }
    }
  }
}

/** The tokens that the fake model generates after a prompt when nothing else exists. */
export function runAlone(
  promptTokenIds: readonly number[],
  numTokens: number,
  options: Pick<FakeModelOptions, 'slidingWindow' | 'vocabSize'>,
): number[] {
  const { slidingWindow, vocabSize } = options;
  const tokenIds = [...promptTokenIds];
  const values: number[] = [];
  while (tokenIds.length < promptTokenIds.length + numTokens) {
    while (values.length < tokenIds.length) {
      const seen = slidingWindow === undefined ? values : values.slice(Math.max(0, values.length - slidingWindow + 1));
      values.push(keyValueOf(tokenIds[values.length]!, values.length, seen));
    }
    tokenIds.push(nextTokenOf(values.at(-1)!, vocabSize));
  }
  return tokenIds.slice(promptTokenIds.length);
}
