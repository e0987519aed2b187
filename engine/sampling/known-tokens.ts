/** The tokens of a row whose logits are known without the whole row: the best, and those that the request's edits touch.
 * They become the candidates; of all others it is only known that none is better than the worst of the best.
 *
 *   top       (7, 9.1) (3, 8.0) (12, 7.5)        touched by edits   3, 40
 *   known      3    7    12    40                by id, with their logits
 *   touched    x              x                  whatever the edits do to 3 and 40: 7 and 12 stay the best of the rest
 *
 * One object serves one request, one token after another. */
import type { Candidates } from './candidates.ts';
import type { LogitsProcessor, ProcessorContext } from './logits-processor.ts';
import type { RowSummary } from './row-summary.ts';

export class KnownTokens {
  readonly #candidates: Candidates;
  /** Ids that edits touch, ascending, each once: the beginning of `#ids`. */
  #touched: Int32Array = new Int32Array(0);
  #ids: Int32Array = new Int32Array(64);
  #numUntouchedTop = 0;
  #floor = Number.NEGATIVE_INFINITY;
  #floorId = Number.POSITIVE_INFINITY;

  constructor(candidates: Candidates) {
    this.#candidates = candidates;
  }

  /** Makes the known tokens candidates, with their logits as they are. */
  load(summary: RowSummary, edits: readonly LogitsProcessor[], context: ProcessorContext): void {
    const { top, row, vocabSize } = summary;
    const numTop = top.length / 2;
    this.#touched = this.#collect(edits, context);
    const isAll = numTop >= vocabSize;
    this.#floor = isAll || numTop === 0 ? Number.NEGATIVE_INFINITY : top[2 * numTop - 1]!;
    this.#floorId = isAll || numTop === 0 ? Number.POSITIVE_INFINITY : top[2 * numTop - 2]!;
    const byId = Array.from({ length: numTop }, (_, i) => i).sort((a, b) => top[2 * a]! - top[2 * b]!);
    const candidates = this.#candidates;
    candidates.clear();
    let next = 0;
    for (const i of byId) {
      const id = top[2 * i]!;
      for (; next < this.#touched.length && this.#touched[next]! < id; next++) this.#addTouched(row!, next);
      if (this.#touched[next] !== id) candidates.add(id, top[2 * i + 1]!);
    }
    for (; next < this.#touched.length; next++) this.#addTouched(row!, next);
    this.#numUntouchedTop = isAll ? Number.POSITIVE_INFINITY : candidates.size - this.#touched.length;
  }

  /** How many of the best no edit touches: no unknown token is better than any of them. Infinity when all is known. */
  get numUntouchedTop(): number {
    return this.#numUntouchedTop;
  }

  /** No unknown token has a higher logit. */
  get floor(): number {
    return this.#floor;
  }

  /** Whether a token that has this logit now comes before every unknown one. Of equals the lower id does, and the best were
   * listed in that order: unknown tokens at the floor have higher ids than the last of them. */
  isAheadOfUnknown(tokenId: number, logit: number): boolean {
    return logit > this.#floor || (logit === this.#floor && tokenId <= this.#floorId);
  }

  get touched(): Int32Array {
    return this.#touched;
  }

  #addTouched(row: Float32Array, index: number): void {
    const id = this.#touched[index]!;
    this.#candidates.add(id, row[id]!);
  }

  #collect(edits: readonly LogitsProcessor[], context: ProcessorContext): Int32Array {
    const { marks, vocabSize } = this.#candidates;
    let count = 0;
    for (const edit of edits) {
      const tokens = edit.touchedTokens!(context);
      for (let i = 0; i < tokens.length; i++) {
        const id = tokens[i]!;
        // What is no token is the edit's own to refuse.
        if (!(id >= 0 && id < vocabSize) || marks[id] !== 0) continue;
        marks[id] = 1;
        if (count === this.#ids.length) this.#grow();
        this.#ids[count++] = id;
      }
    }
    for (let i = 0; i < count; i++) marks[this.#ids[i]!] = 0;
    return this.#ids.subarray(0, count).sort();
  }

  #grow(): void {
    const ids = new Int32Array(2 * this.#ids.length);
    ids.set(this.#ids);
    this.#ids = ids;
  }
}
