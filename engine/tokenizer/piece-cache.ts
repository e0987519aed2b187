/** Remembers the ids of common pieces: text repeats its words, and a lookup is far cheaper than merging.
 *
 * Bounded without bookkeeping per entry: when the young generation is full it becomes the old one and the old one is
 * forgotten; what is used again moves back to the young. */

const GENERATION_SIZE = 16_384;
const MAX_PIECE_LENGTH = 64;

/** One id, or any other number of them. */
type PieceIds = number | Int32Array;

export class PieceCache {
  #young = new Map<string, PieceIds>();
  #old = new Map<string, PieceIds>();

  /** Appends the ids of `piece` to `out`; false when it is not remembered. */
  append(piece: string, out: number[]): boolean {
    const ids = this.#young.get(piece) ?? this.#revive(piece);
    if (ids === undefined) return false;
    if (typeof ids === 'number') out.push(ids);
    else for (let i = 0; i < ids.length; i++) out.push(ids[i]!);
    return true;
  }

  /** Remembers that `piece` has the ids `out[start ..]`. */
  remember(piece: string, out: readonly number[], start: number): void {
    if (piece.length > MAX_PIECE_LENGTH) return;
    this.#set(ownCopy(piece), out.length === start + 1 ? out[start]! : Int32Array.from(out.slice(start)));
  }

  #revive(piece: string): PieceIds | undefined {
    const ids = this.#old.get(piece);
    if (ids !== undefined) this.#set(ownCopy(piece), ids);
    return ids;
  }

  #set(piece: string, ids: PieceIds): void {
    if (this.#young.size === GENERATION_SIZE) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(piece, ids);
  }
}

/** A long slice of a string keeps the whole of it alive (V8's `SlicedString`, from 13 characters); a key here must not
 * hold a user's text. */
function ownCopy(piece: string): string {
  return piece.length < 13 ? piece : Buffer.from(piece, 'utf16le').toString('utf16le');
}
