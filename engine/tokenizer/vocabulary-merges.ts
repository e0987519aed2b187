/** SentencePiece's merge rules. Its file has no list of merges: two symbols merge whenever their joined text is a token,
 * the token with the highest score first.
 *
 * Rules are looked up by text the first time a pair is met and remembered by ids. The memory is bounded and simply
 * emptied when full: a rule is a function of the vocabulary, so nothing is lost but time.
 *
 * Source: Kudo & Richardson 2018, "SentencePiece", and its `bpe_model.cc`. */
import type { MergeRules } from './bpe-merger.ts';
import { PairTable } from './pair-table.ts';

const MAX_REMEMBERED = 65_536;
const NO_RULE = -1;

export class VocabularyMerges implements MergeRules {
  readonly #table = new PairTable(MAX_REMEMBERED);
  readonly #texts: readonly string[];
  readonly #idByText: ReadonlyMap<string, number>;
  readonly #tokenRanks: Int32Array;
  readonly #maxLength: number;

  /** @param texts      of every symbol id; may go on past the vocabulary
   *  @param idByText   the tokens that merging may produce
   *  @param scores     one per token, higher is better; not NaN */
  constructor(texts: readonly string[], idByText: ReadonlyMap<string, number>, scores: ArrayLike<number>) {
    this.#texts = texts;
    this.#idByText = idByText;
    this.#tokenRanks = denseRanks(scores);
    this.#maxLength = longestKey(idByText);
  }

  find(left: number, right: number): number {
    let slot = this.#table.find(left, right);
    if (slot < 0) {
      if (this.#table.size === MAX_REMEMBERED) this.#table.clear();
      const id = this.#joinedId(left, right);
      slot = this.#table.add(left, right, id < 0 ? NO_RULE : this.#tokenRanks[id]!, id);
    }
    return this.#table.rank(slot) === NO_RULE ? -1 : slot;
  }

  rank(slot: number): number {
    return this.#table.rank(slot);
  }

  merged(slot: number): number {
    return this.#table.merged(slot);
  }

  #joinedId(left: number, right: number): number {
    const leftText = this.#texts[left]!;
    const rightText = this.#texts[right]!;
    if (leftText.length + rightText.length > this.#maxLength) return -1;
    return this.#idByText.get(leftText + rightText) ?? -1;
  }
}

/** 0 for the highest score; equal scores share a rank. */
function denseRanks(scores: ArrayLike<number>): Int32Array {
  const descending = Float64Array.from(scores).sort().reverse();
  const rankOf = new Map<number, number>();
  for (const score of descending) if (!rankOf.has(score)) rankOf.set(score, rankOf.size);
  return Int32Array.from(scores, (score) => rankOf.get(score)!);
}

function longestKey(map: ReadonlyMap<string, unknown>): number {
  let longest = 0;
  for (const key of map.keys()) if (key.length > longest) longest = key.length;
  return longest;
}
