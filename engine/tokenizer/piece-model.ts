/** The heart of a tokenizer: one piece of text to ids, after normalizing and splitting. */
export interface PieceModel {
  /** Appends the ids of `piece` (well-formed UTF-16) to `out`. */
  encodePiece(piece: string, out: number[]): void;
}
